"""The runner as a real process: probes, drain on SIGTERM, exit codes, what it prints when it fails."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from shared.redis.client import RedisStreamClient
from shared.runtime.http import listen
from shared.testing.bus_contract import QUEUE
from shared.testing.factories import engineering_message
from shared.testing.redis_server import running_redis
from shared.testing.waiting import eventually

pytestmark = pytest.mark.service
SCRIPT = Path(__file__).with_name("sample_service.py")
MEASURED_SECONDS = 2.5
MOST_WAKES_A_SECOND = 7


class Sample:
    """The running process and its log."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(json.loads(line))

    async def logged(self, event: str) -> dict[str, Any]:
        await eventually(lambda: event in [line["event"] for line in self.lines], 20)
        return next(line for line in self.lines if line["event"] == event)

    async def ended(self) -> int:
        async with asyncio.timeout(20):
            code = await self.process.wait()
            await self._reading
        return code


@asynccontextmanager
async def sample(**environment: str) -> AsyncIterator[Sample]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield Sample(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_service_answers_its_probes_and_drains_on_sigterm(redis_url: str, bus: RedisStreamClient) -> None:
    async with sample(REDIS_URL=redis_url, HANDLER_SECONDS="0.3") as service:
        base = (await service.logged("started"))["http"]
        async with httpx.AsyncClient(base_url=base) as client:
            assert (await client.get("/livez")).json() == {"status": "ok"}
            assert (await client.get("/readyz")).json() == {"status": "ok", "checks": {"bus": "ok"}}
            await bus.publish(QUEUE, engineering_message("in hand"))
            await service.logged("handling")
            assert "bus_in_flight" in (await client.get("/metrics")).text
        service.process.send_signal(signal.SIGTERM)
        assert await service.ended() == 0
        events = [line["event"] for line in service.lines]
        assert events[-2:] == ["handled", "stopped"]
        assert (await bus.stats(QUEUE)).groups["sample"].pending == 0


async def test_an_idle_service_sleeps(redis_url: str) -> None:
    async with sample(REDIS_URL=redis_url) as service:
        base = (await service.logged("started"))["http"]
        async with httpx.AsyncClient(base_url=base) as client:
            first = (await client.get("/livez")).headers["date"]
        process = psutil.Process(service.process.pid)
        before = process.num_ctx_switches().voluntary
        await asyncio.sleep(MEASURED_SECONDS)
        wakes = process.num_ctx_switches().voluntary - before
        assert wakes / MEASURED_SECONDS < MOST_WAKES_A_SECOND
        async with httpx.AsyncClient(base_url=base) as client:
            assert (await client.get("/livez")).headers["date"] != first, "an answer's date is the time of day"


async def test_log_lines_carry_service_and_correlation(redis_url: str, bus: RedisStreamClient) -> None:
    message = engineering_message("a")
    await bus.publish(QUEUE, message)
    async with sample(REDIS_URL=redis_url) as service:
        line = await service.logged("handled")
        assert (line["service"], line["correlation_id"]) == ("sample", message.correlation_id)


async def test_a_process_whose_bus_is_away_lives_but_is_not_ready() -> None:
    async with running_redis() as server:
        async with sample(REDIS_URL=server.url) as service:
            base = (await service.logged("started"))["http"]
            async with httpx.AsyncClient(base_url=base, timeout=10) as client:
                await eventually(lambda: answers(client, "/readyz", 200))
                await server.stop()
                await eventually(lambda: answers(client, "/readyz", 503))
                assert (await client.get("/livez")).status_code == 200
                await server.start()
                await eventually(lambda: answers(client, "/readyz", 200))


async def test_a_named_failure_ends_with_1_and_without_a_traceback(redis_url: str, bus: RedisStreamClient) -> None:
    await bus.publish(QUEUE, engineering_message("a"))
    async with sample(REDIS_URL=redis_url, MODE="handler-fatal") as service:
        assert await service.ended() == 1
        line = await service.logged("failed")
        assert (line["code"], line["error"]) == ("not_today", "The sample was told to fail")
        assert not [line for line in service.lines if "exception" in line]


async def test_a_bug_ends_with_1_and_with_a_redacted_traceback() -> None:
    async with running_redis(password="hunter2-hunter2") as server:
        async with sample(REDIS_URL=server.url, MODE="loop-crashes") as service:
            assert await service.ended() == 1
            line = await service.logged("crashed")
            assert "RuntimeError" in line["exception"]
            assert "hunter2" not in json.dumps(service.lines)


async def test_a_composition_that_fails_ends_with_1() -> None:
    async with sample(MODE="compose-fails") as service:
        assert await service.ended() == 1


async def test_a_taken_port_ends_with_1_and_names_it() -> None:
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        async with sample(HTTP_PORT=str(port)) as service:
            assert await service.ended() == 1
            assert str(port) in (await service.logged("failed"))["error"]


async def test_a_handler_that_does_not_end_is_cut_off_after_the_drain_time(
    redis_url: str, bus: RedisStreamClient
) -> None:
    await bus.publish(QUEUE, engineering_message("stuck"))
    async with sample(REDIS_URL=redis_url, HANDLER_SECONDS="3600", DRAIN_SECONDS="0.2") as service:
        await service.logged("handling")
        service.process.send_signal(signal.SIGTERM)
        assert await service.ended() == 1
        assert (await service.logged("failed"))["code"] == "drain_timeout"
        assert (await bus.stats(QUEUE)).groups["sample"].pending == 1


async def answers(client: httpx.AsyncClient, path: str, status: int) -> bool:
    return (await client.get(path)).status_code == status
