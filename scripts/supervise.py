"""Runs a command, and ends whatever it started once it has ended: also what went into sessions of its own, as stores,
services and workers do. An interrupt or a request to end is passed on to the command as an interrupt.

    supervise.py [--patience SECONDS] COMMAND...

Exits with the command's code, with 128 + n after signal n. What a command leaves running that ended by itself is named,
ended, and makes a success a failure (70). Whatever is asked to end has the seconds of patience for it (5), then it is
killed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

import psutil

from worker_wrapper.pid1 import adopt_orphans

PATIENCE_SECONDS = 5.0
SOMETHING_WAS_LEFT = 70
NAME_LENGTH = 120
REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def hear_requests() -> None:
    """Undo, in the command, what makes it deaf: a shell, to what it starts in the background, and the block in run."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, REQUESTS)


def run(command: Sequence[str], patience: float) -> tuple[int, bool]:
    """Return the command's exit code and whether it was asked to end; it is killed when it takes too long over that."""
    asked: list[int] = []
    # What is asked before this can pass it on waits until it can.
    signal.pthread_sigmask(signal.SIG_BLOCK, REQUESTS)
    process = subprocess.Popen(command, process_group=0, preexec_fn=hear_requests)

    def to_all(number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        to_all(signal.SIGINT)
        signal.setitimer(signal.ITIMER_REAL, patience)

    for number in REQUESTS:
        signal.signal(number, pass_on)
    signal.signal(signal.SIGALRM, lambda _number, _frame: to_all(signal.SIGKILL))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, REQUESTS)
    code = collect_until(process)
    signal.setitimer(signal.ITIMER_REAL, 0)
    if asked:
        return 128 + asked[0], True
    return (code if code >= 0 else 128 - code), False


def collect_until(process: subprocess.Popen[bytes]) -> int:
    """Wait for the command; meanwhile collect orphans that end, as the first process of a machine does."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode


def still_there(seconds: float) -> list[psutil.Process]:
    """Return what still runs of all that was started, after the time it may take to end."""
    _, alive = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=seconds)
    return alive


def end_the_rest(patience: float) -> None:
    """Ask everything that runs to end, then kill it; what a process starts meanwhile is found in the next round."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    while left := still_there(patience):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def name_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return f"{process.pid}: {' '.join(process.cmdline())[:NAME_LENGTH]}"
    return str(process.pid)


def main(command: Sequence[str], patience: float) -> int:
    adopt_orphans()
    code, was_asked_to_end = run(command, patience)
    if not was_asked_to_end and (left := still_there(patience)):
        names = "\n  ".join(name_of(process) for process in left)
        print(f"supervise: this was left running and is ended now:\n  {names}", file=sys.stderr)
        code = code or SOMETHING_WAS_LEFT
    end_the_rest(patience)
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patience", type=float, default=PATIENCE_SECONDS)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    told = parser.parse_args()
    sys.exit(main(told.command, told.patience))
