"""`codegen demo`, as `make demo` calls it: one command, one report, every check held."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_stack.settings import find_repository
from local_stack.sweep import leftovers

pytestmark = pytest.mark.timeout(600)
SECONDS = 420
ACCOUNTS = ("ANTHROPIC_API_KEY", "TELEGRAM_BOT_TOKEN", "GITHUB_APP_ID")
SERVICES = {
    *("api", "relay", "worker-manager", "langgraph", "scaffolder", "scheduler", "infra-service", "telegram-bot"),
}


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home of its own that shares the fetched agent binary."""
    folder = Path(tempfile.mkdtemp(prefix="codegen-demo-", dir="/tmp"))
    folder.chmod(0o755)
    shared = find_repository() / ".codegen" / "agents"
    if shared.is_dir():
        (folder / "agents").symlink_to(shared)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def demo(home: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ACCOUNTS}
    done = subprocess.run(
        [sys.executable, "-m", "local_stack", "demo", "--no-keep"],
        env={**environment, "CODEGEN_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    print(done.stdout, done.stderr)
    return done


@pytest.fixture(scope="module")
def report(demo: subprocess.CompletedProcess[str], home: Path) -> dict[str, Any]:
    assert demo.returncode == 0, demo.stderr
    parsed: dict[str, Any] = json.loads((home / "demo-report.json").read_text())
    return parsed


def test_the_demo_ends_well_and_leaves_no_process(demo: subprocess.CompletedProcess[str], home: Path) -> None:
    assert demo.returncode == 0, demo.stderr
    assert "Traceback" not in demo.stdout + demo.stderr
    assert leftovers(home) == []


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
