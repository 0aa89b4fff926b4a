"""Real children: deadlines, signals, groups, zombies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from shared.testing.processes import is_running
from worker_wrapper.pid1 import OrphanReaper
from worker_wrapper.process import ChildProcesses, ChildSpec, Deadlines, Ending, Watch

PROGRAM = Path(__file__).with_name("reaper_program.py")
FAST = Deadlines(total_seconds=20, linger_seconds=0.2, kill_grace_seconds=0.3)


def python(code: str, cwd: Path, stdin: str | None = None) -> ChildSpec:
    return ChildSpec((sys.executable, "-c", code), cwd, dict(os.environ), stdin)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a condition, with a deadline."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        await asyncio.sleep(0.01)


async def test_output_lines_exit_code_and_stderr_arrive(tmp_path: Path) -> None:
    lines: list[str] = []
    code = "import sys; print('one'); print('two', end=''); print('err', file=sys.stderr); sys.exit(5)"
    outcome = await ChildProcesses().run(python(code, tmp_path), FAST, Watch(on_line=lines.append))
    assert (outcome.ending, outcome.exit_code, outcome.stderr_tail) == (Ending.EXITED, 5, "err")
    assert lines == ["one", "two"]
    assert outcome.stdout == "one\ntwo"


async def test_a_large_stdin_reaches_a_child_that_talks_meanwhile(tmp_path: Path) -> None:
    text = "x" * 2_000_000
    code = "import sys; sys.stdout.write('y' * 2_000_000); sys.stdout.flush(); print(len(sys.stdin.read()))"
    outcome = await ChildProcesses().run(python(code, tmp_path, text), FAST)
    assert outcome.stdout.endswith("2000000\n")


async def test_a_child_that_ignores_its_stdin_is_no_error(tmp_path: Path) -> None:
    outcome = await ChildProcesses().run(python("print('bye')", tmp_path, "z" * 1_000_000), FAST)
    assert outcome.exit_code == 0


@pytest.mark.parametrize(
    ("code", "deadlines", "ending"),
    [
        ("import time; time.sleep(60)", Deadlines(60, start_seconds=0.3), Ending.START_DEADLINE),
        ("import time; print(1, flush=True); time.sleep(60)", Deadlines(60, 20, 0.3), Ending.IDLE_DEADLINE),
        ("import time; print(1, flush=True); time.sleep(60)", Deadlines(0.5, 20, 20), Ending.TOTAL_DEADLINE),
    ],
)
async def test_each_deadline_ends_the_child(tmp_path: Path, code: str, deadlines: Deadlines, ending: Ending) -> None:
    outcome = await ChildProcesses().run(python(code, tmp_path), deadlines)
    assert outcome.ending is ending
    assert outcome.duration_seconds < 10


async def test_output_moves_the_idle_deadline(tmp_path: Path) -> None:
    code = "import time\nfor n in range(6): print(n, flush=True); time.sleep(0.15)"
    outcome = await ChildProcesses().run(python(code, tmp_path), Deadlines(20, 10, 0.6))
    assert outcome.ending is Ending.EXITED


async def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    deadlines = Deadlines(60, 20, 0.5, kill_grace_seconds=0.3)
    outcome = await ChildProcesses().run(python(code, tmp_path), deadlines)
    assert (outcome.ending, outcome.exit_code) == (Ending.IDLE_DEADLINE, -signal.SIGKILL)


async def test_the_whole_group_ends_with_the_child(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        "print(p.pid, flush=True)"
    )
    outcome = await ChildProcesses().run(python(code, tmp_path), FAST)
    grandchild = int(outcome.stdout)
    assert outcome.exit_code == 0
    await until(lambda: not is_running(grandchild))


async def test_a_grandchild_in_a_session_of_its_own_does_not_hold_the_turn_open(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'], "
        "start_new_session=True); print(p.pid, flush=True)"
    )
    outcome = await ChildProcesses().run(python(code, tmp_path), FAST)
    os.kill(int(outcome.stdout), signal.SIGKILL)
    assert outcome.duration_seconds < 10


async def test_the_last_event_ends_the_turn_although_the_process_lingers(tmp_path: Path) -> None:
    seen: list[str] = []
    watch = Watch(on_line=seen.append, is_done=lambda: "done" in seen)
    code = "import time; print('done', flush=True); time.sleep(60)"
    outcome = await ChildProcesses().run(python(code, tmp_path), FAST, watch)
    assert outcome.ending is Ending.FINISHED


async def test_stop_ends_the_child(tmp_path: Path) -> None:
    stop = asyncio.Event()
    watch = Watch(on_line=lambda _: stop.set())
    code = "import time; print('here', flush=True); time.sleep(60)"
    outcome = await ChildProcesses().run(python(code, tmp_path), FAST, watch, stop)
    assert outcome.ending is Ending.STOPPED


async def test_cancelling_the_run_leaves_no_process(tmp_path: Path) -> None:
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    watch = Watch(on_line=lambda line: started.set_result(int(line)))
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    run = asyncio.ensure_future(ChildProcesses().run(python(code, tmp_path), FAST, watch))
    pid = await started
    run.cancel()
    await asyncio.wait({run})
    assert not psutil.pid_exists(pid), "not even one that waits to be collected"


async def test_a_missing_program_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await ChildProcesses().run(ChildSpec(("no-such-agent",), tmp_path, {"PATH": "/bin"}), FAST)


async def test_orphans_are_reaped_strays_ended_and_no_exit_code_is_stolen(tmp_path: Path) -> None:
    # In a process of its own: adopting orphans lasts as long as a process does.
    outcome = await ChildProcesses().run(ChildSpec((sys.executable, str(PROGRAM)), tmp_path, dict(os.environ)), FAST)
    assert outcome.stderr_tail == ""
    assert outcome.stdout.strip() == "[7, 7, 7, 7, 7] True True True 0"


def test_the_reaper_leaves_a_child_that_asyncio_is_about_to_know() -> None:
    class Starting(ChildProcesses):
        is_starting = True

    pid = os.fork()
    if pid == 0:
        os._exit(3)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert OrphanReaper(Starting()).reap() == 0
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
