"""A sweep ends what a stack left behind and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from local_stack.layout import Layout
from local_stack.running import bring_down
from local_stack.sweep import STACK_MARK, leftovers, sweep

pytestmark = pytest.mark.service


class Processes:
    """Sleeping processes with chosen environments; all are gone after the test."""

    def __init__(self, undo: ExitStack) -> None:
        self._undo = undo

    def start(self, environment: dict[str, str], *, ignores_term: bool = False) -> subprocess.Popen[bytes]:
        script = "trap '' TERM; echo up; while :; do sleep 0.1; done" if ignores_term else "echo up; exec sleep 600"
        process = subprocess.Popen(
            ["/bin/sh", "-c", script],
            env={"PATH": "/usr/bin:/bin", **environment},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._undo.callback(self._end, process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.communicate()


@pytest.fixture
def processes() -> Iterator[Processes]:
    with ExitStack() as undo:
        yield Processes(undo)


def test_marked_processes_end_and_others_live(tmp_path: Path, processes: Processes) -> None:
    marked = processes.start({STACK_MARK: str(tmp_path)})
    worker = processes.start({"HOME": f"{tmp_path}/workers/w1/home"})
    application = processes.start({"DATA_DIR": f"{tmp_path}/server/apps/a/data"})
    stranger = processes.start({"HOME": "/root"})
    neighbour = processes.start({STACK_MARK: f"{tmp_path}-other"})
    lookalike = processes.start({"HOME": f"{tmp_path}-other/home"})
    assert set(sweep(tmp_path, grace_seconds=5)) == {marked.pid, worker.pid, application.pid}
    assert [process.pid for process in (marked, worker, application) if psutil.pid_exists(process.pid)] == []
    assert [process.poll() for process in (stranger, neighbour, lookalike)] == [None] * 3


def test_a_process_that_ignores_the_request_is_killed(tmp_path: Path, processes: Processes) -> None:
    stubborn = processes.start({STACK_MARK: str(tmp_path)}, ignores_term=True)
    assert stubborn.pid in sweep(tmp_path, grace_seconds=0.2)
    assert not psutil.pid_exists(stubborn.pid)


def test_who_sweeps_and_its_parents_are_spared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert psutil.Process().pid not in [process.pid for process in leftovers(Path.home().parent)]


def test_down_spares_a_stranger_whose_pid_stands_in_a_stale_state_file(tmp_path: Path, processes: Processes) -> None:
    layout = Layout(home=tmp_path, shared_home=tmp_path)
    layout.lock_file.touch()
    stranger = processes.start({})
    orphan = processes.start({STACK_MARK: str(tmp_path)})
    layout.state_file.write_text(
        f'{{"pid": {stranger.pid}, "children": {{}}, "urls": {{}}, "real": [], "emulated": []}}'
    )
    assert bring_down(layout) == "no stack was running; ended 1 processes left behind"
    assert stranger.poll() is None
    assert not psutil.pid_exists(orphan.pid)
    assert not layout.state_file.exists()
