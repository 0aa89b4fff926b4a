"""scripts/supervise.py: nothing a command starts outlives it, and what it leaves running is a failure."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[3]
SUPERVISE = [sys.executable, str(ROOT / "scripts/supervise.py"), "--patience", "0.5"]
# A process of a session of its own whose parent is gone, as a daemon is. It is deaf to requests to end.
DAEMON = "(trap '' INT TERM; setsid sh -c 'echo $$; exec sleep 300 >/dev/null' &)"
SECONDS = 30


@contextmanager
def _running(script: str) -> Iterator[subprocess.Popen[str]]:
    command = [*SUPERVISE, "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        yield running


def _read_pid(running: subprocess.Popen[str]) -> int:
    assert running.stdout is not None
    return int(running.stdout.readline())


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 5", 5), ("kill -9 $$", 128 + signal.SIGKILL)])
def test_the_code_is_the_commands(script: str, code: int) -> None:
    with _running(script) as running:
        assert running.wait(SECONDS) == code


def test_what_a_successful_command_leaves_running_is_named_ended_and_a_failure() -> None:
    with _running(f"echo $( {DAEMON})") as running:
        pid = _read_pid(running)
        _, said = running.communicate(timeout=SECONDS)
    assert running.returncode == 70
    assert f"{pid}: sleep 300" in said
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_the_command_and_ends_what_it_started(number: signal.Signals) -> None:
    with _running(f"trap 'echo interrupted; exit 1' INT; {DAEMON}; while :; do sleep 0.1; done") as running:
        pid = _read_pid(running)
        running.send_signal(number)
        said, _ = running.communicate(timeout=SECONDS)
    assert said == "interrupted\n"
    assert running.returncode == 128 + number
    assert not psutil.pid_exists(pid)


def test_a_request_that_comes_while_the_command_starts_is_passed_on() -> None:
    with _running("trap 'echo interrupted; exit 1' INT; kill -HUP $PPID; while :; do sleep 0.1; done") as running:
        said, _ = running.communicate(timeout=SECONDS)
    assert (said, running.returncode) == ("interrupted\n", 128 + signal.SIGHUP)


def test_a_command_that_does_not_hear_is_killed() -> None:
    with _running("trap '' INT TERM; echo $$; while :; do sleep 0.1; done") as running:
        pid = _read_pid(running)
        running.send_signal(signal.SIGTERM)
        assert running.wait(SECONDS) == 128 + signal.SIGTERM
    assert not psutil.pid_exists(pid)
