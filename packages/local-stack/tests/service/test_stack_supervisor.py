"""The supervisor with real children: restarts, hopeless ones, order, whole sessions."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from local_stack.children import Child, ChildSpec
from local_stack.errors import ChildFailed
from local_stack.supervisor import HOPELESS_DEATHS, Supervisor
from shared.runtime.ports import free_port

pytestmark = pytest.mark.service
DEADLINE = 20.0
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Watched:
    """A supervisor and what it said, in order."""

    def __init__(self, logs: Path) -> None:
        self.heard: list[tuple[str, str]] = []
        self._changed = asyncio.Condition()
        self.supervisor = Supervisor(logs, self._hear, back_off_seconds=(0.01,))
        self._tasks: set[asyncio.Task[None]] = set()

    def _hear(self, event: str, child: Child) -> None:
        self.heard.append((event, child.spec.name))
        task = asyncio.create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(DEADLINE), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError:
            raise AssertionError(f"not within {DEADLINE} s; heard {self.heard}") from None

    def count(self, event: str, name: str) -> int:
        return self.heard.count((event, name))


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    watched = Watched(tmp_path)
    try:
        yield watched
    finally:
        await watched.supervisor.stop(1.0)


def _spec(name: str, script: str) -> ChildSpec:
    return ChildSpec(name=name, command=("/bin/sh", "-c", script), env={"PATH": "/usr/bin:/bin"})


async def test_a_killed_child_is_started_again_with_a_new_pid(watched: Watched) -> None:
    child = watched.supervisor.add(_spec("sleeper", "exec sleep 600"))
    await watched.until(lambda: watched.count("ready", "sleeper") == 1)
    first = child.pid
    child.signal(signal.SIGKILL)
    await watched.until(lambda: watched.count("ready", "sleeper") == 2)
    assert child.pid != first
    assert child.restarts == 1
    assert child.last_exit == -signal.SIGKILL


async def test_a_child_that_always_ends_fails_the_stack_and_its_log_is_quoted(watched: Watched) -> None:
    child = watched.supervisor.add(_spec("hopeless", "echo the table is missing >&2; exit 3"))
    with pytest.raises(ChildFailed) as failed:
        async with asyncio.timeout(DEADLINE):
            await asyncio.shield(watched.supervisor.failure)
    text = str(failed.value)
    assert f"hopeless ended {HOPELESS_DEATHS} times right after its start (exit 3)" in text
    assert "the table is missing" in text
    assert str(child.log_path) in text


async def test_a_command_that_does_not_exist_fails_the_stack_with_its_name(watched: Watched) -> None:
    watched.supervisor.add(ChildSpec(name="ghost", command=("/no/such/program",), env={}))
    with pytest.raises(ChildFailed, match="ghost cannot be started"):
        async with asyncio.timeout(DEADLINE):
            await asyncio.shield(watched.supervisor.failure)


async def test_waiting_for_a_child_that_never_answers_names_it_and_quotes_its_log(watched: Watched) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    watched.supervisor.add(replace(_spec("mute", "echo I do not listen; exec sleep 600"), ready_url=url))
    await watched.until(lambda: watched.count("started", "mute") == 1)
    with pytest.raises(ChildFailed, match=r"mute did not become ready within 1 s"):
        await watched.supervisor.wait_ready(["mute"], 1.0)


async def test_waiting_ends_at_once_when_another_child_is_hopeless(watched: Watched) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    watched.supervisor.add(replace(_spec("mute", "exec sleep 600"), ready_url=url))
    watched.supervisor.add(_spec("hopeless", "exit 1"))
    with pytest.raises(ChildFailed, match="hopeless ended"):
        await watched.supervisor.wait_ready(["mute", "hopeless"], DEADLINE)


async def test_a_child_is_ready_only_when_its_address_answers(watched: Watched) -> None:
    port = free_port()
    spec = ChildSpec(
        name="server",
        command=(sys.executable, "-c", SERVER, str(port)),
        env={"PATH": "/usr/bin:/bin"},
        ready_url=f"http://127.0.0.1:{port}/",
    )
    child = watched.supervisor.add(spec)
    assert not child.is_ready
    await watched.supervisor.wait_ready(["server"], DEADLINE)
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        assert child.is_ready


async def test_a_child_waits_for_the_file_it_needs(watched: Watched, tmp_path: Path) -> None:
    needed = tmp_path / "needed"
    watched.supervisor.add(_spec("other", "exec sleep 600"))
    watched.supervisor.add(replace(_spec("waiting", "exec sleep 600"), requires=needed))
    await watched.until(lambda: watched.count("ready", "other") == 1)
    assert watched.count("started", "waiting") == 0
    needed.touch()
    await watched.until(lambda: watched.count("ready", "waiting") == 1)


async def test_children_stop_in_their_order_and_nothing_is_restarted(watched: Watched) -> None:
    for name, order in (("store", 3), ("service", 1), ("emulator", 2)):
        watched.supervisor.add(replace(_spec(name, "exec sleep 600"), stop_order=order))
    await watched.until(lambda: all(child.is_ready for child in watched.supervisor.children.values()))
    pids = [child.pid for child in watched.supervisor.children.values()]
    await watched.supervisor.stop(2.0)
    assert [name for event, name in watched.heard if event == "stopped"] == ["service", "emulator", "store"]
    assert [pid for pid in pids if pid is not None and psutil.pid_exists(pid)] == []
    assert {child.restarts for child in watched.supervisor.children.values()} == {0}


async def test_a_removed_child_stays_away_until_it_is_added_again(watched: Watched) -> None:
    child = watched.supervisor.add(_spec("sleeper", "exec sleep 600"))
    await watched.until(lambda: child.is_ready)
    spec = await watched.supervisor.remove("sleeper", 2.0)
    assert child.pid is not None
    assert not psutil.pid_exists(child.pid)
    assert "sleeper" not in watched.supervisor.children
    again = watched.supervisor.add(spec)
    await watched.until(lambda: again.is_ready)
    assert again.restarts == 0


async def test_a_child_that_ignores_the_stop_is_killed_with_its_whole_session(watched: Watched, tmp_path: Path) -> None:
    noted = tmp_path / "grandchild"
    script = f"trap '' TERM; sleep 600 & echo $! > {noted}.part; mv {noted}.part {noted}; wait; wait"
    child = watched.supervisor.add(_spec("stubborn", script))
    watched.supervisor.add(replace(_spec("after", "exec sleep 600"), requires=noted))
    await watched.until(lambda: watched.count("started", "after") == 1)
    grandchild = int(noted.read_text())
    assert psutil.pid_exists(grandchild)
    await watched.supervisor.stop(0.2)
    assert child.last_exit in (None, -signal.SIGKILL)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(grandchild).wait(timeout=5)
    assert not psutil.pid_exists(grandchild)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a process as another user")
async def test_a_child_runs_as_the_user_it_is_meant_for(watched: Watched) -> None:
    child = watched.supervisor.add(replace(_spec("lowly", "exec sleep 600"), run_as=(65534, 65534)))
    await watched.until(lambda: watched.count("ready", "lowly") == 1)
    assert child.pid is not None
    process = psutil.Process(child.pid)
    assert set(process.uids()) == {65534}
    assert set(process.gids()) == {65534}
