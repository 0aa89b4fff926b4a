"""`codegen` as a person calls it: clear answers, exit codes, no traceback, nothing left running."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.sweep import leftovers

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]
SECONDS = 60
UNSET = ("ANTHROPIC_API_KEY", "TELEGRAM_BOT_TOKEN", "GITHUB_APP_ID", "UNSANDBOXED")


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that other users may enter."""
    folder = Path(tempfile.mkdtemp(prefix="codegen-commands-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        assert leftovers(folder) == []
        shutil.rmtree(folder)


def _environment(home: Path, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in UNSET}
    return {**inherited, "CODEGEN_HOME": str(home), "CLAUDE_BINARY": "/bin/true", **more}


def _codegen(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "local_stack", *arguments],
        env=_environment(home, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_an_unknown_command_is_named(home: Path) -> None:
    done = _codegen(home, "fly")
    assert done.returncode == 2
    assert "fly" in done.stderr


def test_the_help_lists_every_command(home: Path) -> None:
    done = _codegen(home, "--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("up", "demo", "chat", "status", "logs", "doctor", "down"))


def test_the_logs_of_an_unknown_process_lead_to_the_list_of_known_ones(home: Path) -> None:
    (home / "logs").mkdir()
    (home / "logs" / "api.log").write_text("first\nsecond\nthird\n")
    unknown = _codegen(home, "logs", "nobody")
    assert unknown.returncode == 3
    assert "there is no log of 'nobody'" in unknown.stderr
    assert "api" in unknown.stdout
    known = _codegen(home, "logs", "api", "-n", "2")
    assert (known.returncode, known.stdout) == (0, "second\nthird\n")


@pytest.mark.parametrize("command", ["status", "chat"])
def test_talking_to_a_stack_that_does_not_run_says_so(home: Path, command: str) -> None:
    done = _codegen(home, command)
    assert done.returncode == 1
    assert "No stack is running" in done.stderr
    assert "codegen up" in done.stderr


def test_down_without_a_stack_is_fine(home: Path) -> None:
    done = _codegen(home, "down")
    assert (done.returncode, done.stdout) == (0, "no stack was running\n")


def test_the_doctor_is_content_here(home: Path) -> None:
    done = _codegen(home, "doctor")
    assert done.returncode == 0, done.stdout
    assert "FAIL" not in done.stdout


def test_the_doctor_names_what_is_missing(home: Path) -> None:
    done = _codegen(home, "doctor", TELEGRAM_BOT_TOKEN="1:x")
    assert done.returncode == 1
    assert "FAIL Telegram users" in done.stdout
    assert "TELEGRAM_ALLOWED_USERS" in done.stdout


def test_a_demo_with_a_real_bot_is_refused_with_the_way_out(home: Path) -> None:
    done = _codegen(home, "demo", TELEGRAM_BOT_TOKEN="1:real", TELEGRAM_ALLOWED_USERS="1")
    assert done.returncode == 1
    assert "unset TELEGRAM_BOT_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("", "the prompt is empty"),
        ("   ", "the prompt is empty"),
        ("x" * 10_000, "the prompt has 10000 characters"),
        ("a shopping list", "a prompt of your own needs a real model"),
    ],
)
def test_a_prompt_that_cannot_be_played_is_refused_with_the_way_out(home: Path, prompt: str, told: str) -> None:
    done = _codegen(home, "demo", "--prompt", prompt)
    assert done.returncode == 1
    assert told in done.stderr
    assert "fix:" in done.stderr
    assert not (home / "demo").exists()


def test_a_real_model_without_a_sandbox_is_refused(home: Path) -> None:
    done = _codegen(home, "demo", "--prompt", "a shopping list", ANTHROPIC_API_KEY="sk-test")
    assert done.returncode == 1
    assert "--unsandboxed" in done.stderr


def test_a_scenario_that_is_not_there_is_named(home: Path) -> None:
    done = _codegen(home, "demo", "--scenario", "/no/such/scenario.yaml")
    assert done.returncode == 1
    assert "/no/such/scenario.yaml" in done.stderr


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_home_in_use_is_left_alone(home: Path, command: str) -> None:
    used = home / "demo" if command == "demo" else home
    used.mkdir(exist_ok=True)
    (used / "precious").touch()
    with (used / "stack.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = _codegen(home, command)
    assert done.returncode == 1
    assert "a stack is already running" in done.stderr
    assert "codegen down" in done.stderr
    assert (used / "precious").exists()


def test_damaged_credentials_stop_the_start_and_stay_as_they_are(home: Path) -> None:
    keys = home / "keys"
    keys.mkdir(mode=0o700)
    (keys / "credentials.json").write_text("{")
    done = _codegen(home, "up")
    assert done.returncode == 1
    assert "credentials.json is damaged" in done.stderr
    assert (keys / "credentials.json").read_text() == "{"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_start_that_is_interrupted_leaves_no_process(home: Path, number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "local_stack", "up"),
        env=_environment(home),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    end = time.monotonic() + SECONDS
    while not (home / "stack.json").exists() and process.returncode is None and time.monotonic() < end:
        await asyncio.sleep(0.05)
    assert leftovers(home), "no child was started"
    process.send_signal(number)
    async with asyncio.timeout(SECONDS):
        output, _ = await process.communicate()
    assert process.returncode == 130, output.decode()
    assert b"Traceback" not in output
    assert leftovers(home) == []
    assert not (home / "stack.json").exists()
