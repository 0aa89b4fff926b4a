"""`codegen demo`, as `make demo` calls it: one command, one report, every check held."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from local_stack.sweep import leftovers
from local_stack.testing import eventually
from local_stack.testing.command import Codegen, own_home, share_agents

pytestmark = pytest.mark.timeout(600)
SECONDS = 420
SERVICES = {
    *("api", "relay", "worker-manager", "langgraph", "scaffolder", "scheduler", "infra-service", "telegram-bot"),
}


@dataclass(frozen=True, slots=True)
class Demo:
    """What the command did."""

    home: Path
    exit_code: int | None
    output: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo() -> AsyncIterator[Demo]:
    with own_home("codegen-demo-") as home:
        code, output = await Codegen(home).call("demo", "--no-keep", deadline_seconds=SECONDS)
        yield Demo(home, code, output)


@pytest.fixture(scope="module")
def report(demo: Demo) -> dict[str, Any]:
    assert demo.exit_code == 0, demo.output
    parsed: dict[str, Any] = json.loads((demo.home / "demo-report.json").read_text())
    return parsed


def test_the_demo_ends_well_and_leaves_no_process(demo: Demo) -> None:
    assert demo.exit_code == 0, demo.output
    assert leftovers(demo.home) == []


def test_every_check_of_the_report_held(report: dict[str, Any]) -> None:
    assert [check for check in report["checks"] if not check["ok"]] == []
    assert len(report["checks"]) >= 12
    assert all({"name", "ok", "detail"} <= check.keys() for check in report["checks"])


def test_the_report_names_runs_timeline_tokens_and_cost(report: dict[str, Any]) -> None:
    assert report["url"].startswith("http://127.0.0.1:")
    assert len(report["run_ids"]) == len(set(report["run_ids"])) == 4
    assert report["tokens"]["input"] > 0
    assert report["tokens"]["output"] > 0
    assert report["cost_usd"] > 0
    seconds = [entry["seconds"] for entry in report["timeline"]]
    assert seconds == sorted(seconds)
    assert [entry["type"] for entry in report["timeline"]].count("RunFinished") == 4


def test_the_report_says_what_is_real_and_who_ran(report: dict[str, Any]) -> None:
    assert {"PostgreSQL", "Redis", "Claude Code", "git", "Ansible"} <= set(report["real"])
    assert report["emulated"] == ["Anthropic API", "GitHub", "Telegram"]
    assert set(report["services"]) == SERVICES
    pids = [service["pid"] for service in report["services"].values()]
    assert len(set(pids)) == len(SERVICES)
    assert {name for name, use in report["services"].items() if use["entries_written"] + use["entries_read"] == 0} == {
        "api"
    }, "every service but the api, which never touches Redis, reads or writes streams"


def test_the_conversation_is_what_the_bot_sent_over_telegram(report: dict[str, Any]) -> None:
    told = [line for line in report["conversation"] if line["who"] == "bot"]
    answers = [line["text"] for line in told if line["kind"] == "sent"]
    for line in report["conversation"]:
        print(line["who"], line["kind"], line["text"][:120])
    assert [line["who"] for line in report["conversation"]].count("you") == 2
    assert [text for text in answers if report["url"] in text] == [f"guest-book is running: {report['url']}"] * 2
    assert any(line["kind"] == "edited" for line in told), "progress is shown by editing one message"


async def test_the_application_and_its_data_are_there_again_when_the_stack_is_started_again(
    demo: Demo, report: dict[str, Any]
) -> None:
    home = demo.home / "demo"
    share_agents(home)
    codegen = Codegen(home)
    async with codegen.up() as up, httpx.AsyncClient(base_url=report["url"]) as client:

        async def page() -> str | None:
            try:
                answer = await client.get("/statistics")
            except httpx.TransportError:
                return None
            return answer.text if answer.is_success else None

        text = await eventually(page, 30, f"an answer at {report['url']}")
        assert "Entries: 2" in text
        code, told = await codegen.call("chat", typed="/projects\n")
        assert code == 0, told
        up.send_signal(signal.SIGINT)
        await up.communicate()
    assert leftovers(home) == []
