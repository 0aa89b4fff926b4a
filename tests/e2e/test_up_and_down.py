"""`codegen up` as an operator uses it: status, chat, a second start, Ctrl-C, taken ports, down."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator

import psutil
import pytest

from local_stack.sweep import leftovers
from local_stack.testing.command import Codegen, own_home

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def codegen() -> Iterator[Codegen]:
    with own_home("codegen-up-") as home:
        yield Codegen(home)


async def test_a_running_stack_can_be_watched_talked_to_and_interrupted(codegen: Codegen) -> None:
    async with codegen.up() as up:
        status = await codegen.until_all_ready()
        assert all(name in status for name in ("postgres", "redis", "langgraph", "telegram-bot", "server"))

        code, second = await codegen.call("up")
        assert code == 1
        assert "a stack is already running" in second

        code, told = await codegen.call("chat", typed="x" * 10_000 + "\n")
        assert code == 0
        assert "a message has at most 4096 characters" in told

        code, log = await codegen.call("logs", "redis", "-n", "5")
        assert code == 0
        assert log.strip()

        children = psutil.Process(up.pid).children(recursive=True)
        assert len(children) >= 13
        up.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            output, _ = await up.communicate()
        print(output.decode())
        assert up.returncode == 130
        assert b"Traceback" not in output
        assert [child.pid for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
        assert leftovers(codegen.home) == []
    code, status = await codegen.call("status")
    assert code == 1
    assert "No stack is running" in status


async def test_a_stack_starts_again_on_other_ports_and_down_finds_what_its_killed_launcher_left(
    codegen: Codegen,
) -> None:
    before = codegen.ports()
    with socket.socket() as api, socket.socket() as server:
        for taken, name in ((api, "api"), (server, "server")):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", before[name]))
            taken.listen()
        async with codegen.up() as up:
            after = codegen.ports()
            changed = {name for name in before if before[name] != after[name]}
            print("other ports:", {name: (before[name], after[name]) for name in changed})
            assert {"api", "server"} <= changed
            await codegen.until_all_ready()
            up.kill()
            await up.wait()
            assert "redis-server" in {process.name() for process in leftovers(codegen.home)}
            code, told = await codegen.call("down")
            assert code == 0
            assert "left behind" in told
            assert leftovers(codegen.home) == []
