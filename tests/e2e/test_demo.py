"""`codegen demo`, as `make demo` calls it: one command, one report, every check held.

Then `codegen up` on what it left, as an operator uses it: status, chat, a second start, Ctrl-C, taken ports, down.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio

from local_stack.sweep import leftovers
from local_stack.testing import eventually
from local_stack.testing.command import Codegen, own_home, share_agents
from shared.testing.processes import is_running

pytestmark = pytest.mark.timeout(600)
SECONDS = 420
SERVICES = {
    *("api", "relay", "worker-manager", "langgraph", "scaffolder", "scheduler", "infra-service", "telegram-bot"),
}
PROCESSES = {
    *SERVICES,
    *("postgres", "redis", "server", "emulator-anthropic", "emulator-github", "emulator-telegram"),
}


@dataclass(frozen=True, slots=True)
class Demo:
    """What the command did."""

    home: Path
    exit_code: int | None
    output: str


@pytest_asyncio.fixture(scope="module", loop_scope="session")
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


@pytest.fixture(scope="module")
def codegen(demo: Demo) -> Codegen:
    """The command in the home that the demo has left."""
    home = demo.home / "demo"
    share_agents(home)
    return Codegen(home)


async def test_on_other_ports_the_application_has_its_data_and_the_stack_is_watched_talked_to_and_interrupted(
    codegen: Codegen, report: dict[str, Any]
) -> None:
    before = codegen.ports()
    with taken(before["api"]), taken(before["server"]):
        async with codegen.up() as up:
            status = await codegen.until_all_ready()
            assert all(name in status for name in ("postgres", "redis", "langgraph", "telegram-bot", "server"))
            after = codegen.ports()
            changed = {name for name in before if before[name] != after[name]}
            print("other ports:", {name: (before[name], after[name]) for name in changed})
            assert {"api", "server"} <= changed
            assert "Entries: 2" in await _statistics(report["url"])

            code, second = await codegen.call("up")
            assert code == 1
            assert "a stack is already running" in second

            code, told = await codegen.call("chat", typed="/projects\n" + "x" * 10_000 + "\n")
            assert code == 0
            assert "a message has at most 4096 characters" in told

            code, log = await codegen.call("logs", "redis", "-n", "5")
            assert code == 0
            assert log.strip()

            children = psutil.Process(up.pid).children(recursive=True)
            assert len(children) >= len(PROCESSES)
            up.send_signal(signal.SIGINT)
            async with asyncio.timeout(60):
                output, _ = await up.communicate()
            print(output.decode())
            assert up.returncode == 130
            assert b"Traceback" not in output
            assert [child.pid for child in children if is_running(child.pid)] == []
            assert leftovers(codegen.home) == []
    code, status = await codegen.call("status")
    assert code == 1
    assert "No stack is running" in status


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Listen on a port of this host."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield


async def _statistics(url: str) -> str:
    """Return the page of the application once it answers."""
    async with httpx.AsyncClient(base_url=url) as client:

        async def page() -> str | None:
            try:
                answer = await client.get("/statistics")
            except httpx.TransportError:
                return None
            return answer.text if answer.is_success else None

        return await eventually(page, 30, f"an answer at {url}")


async def test_down_finds_what_a_killed_launcher_left(codegen: Codegen) -> None:
    async with codegen.up() as up:

        async def begun() -> set[str] | None:
            names = [process.name() for process in leftovers(codegen.home)]
            return set(names) if len(names) >= len(PROCESSES) else None

        left = await eventually(begun, 60, "the processes of a stack")
        up.kill()
        await up.wait()
        assert "redis-server" in left
        code, told = await codegen.call("down")
        assert code == 0
        assert "left behind" in told
        assert leftovers(codegen.home) == []
