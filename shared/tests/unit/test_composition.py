"""What a composition runs: parts until stop, periodic jobs, probes."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from shared.redis.subscription import Delivery, StreamSub
from shared.runtime.errors import Category, PlatformError
from shared.runtime.health import Health
from shared.runtime.service import Composition, EndedEarly
from shared.testing import FakeBus
from shared.testing.bus_contract import QUEUE, Inbox
from shared.testing.factories import engineering_message
from shared.testing.waiting import eventually


class Hiccup(PlatformError):
    """It may work next time."""

    code = "hiccup"


class Broken(PlatformError):
    """It never works."""

    code = "broken"
    category = Category.FATAL


def first(failure: pytest.ExceptionInfo[BaseExceptionGroup[Any]]) -> BaseException:
    return failure.value.exceptions[0]


def probe(composition: Composition) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=composition.front), base_url="http://test")


async def test_a_periodic_job_survives_errors_that_have_a_name_and_repeats() -> None:
    composition, rounds = Composition("tester"), 0

    async def action() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            composition.stop.set()
        raise Hiccup

    composition.periodic("job", action, interval_seconds=0.001)
    async with asyncio.timeout(5):
        await composition.run_parts()
    assert rounds == 3


@pytest.mark.parametrize("error", [Broken(), KeyError("a bug")])
async def test_a_periodic_jobs_bug_or_fatal_error_ends_everything(error: Exception) -> None:
    composition = Composition("tester")

    async def action() -> None:
        raise error

    composition.periodic("job", action, interval_seconds=1)
    with pytest.raises(BaseExceptionGroup) as failure:
        await composition.run_parts()
    assert first(failure) is error


async def test_a_periodic_job_that_does_not_run_at_start_waits_for_its_interval() -> None:
    composition, ran = Composition("tester"), asyncio.Event()

    async def action() -> None:
        ran.set()

    composition.periodic("job", action, interval_seconds=3600, run_at_start=False)
    asyncio.get_running_loop().call_later(0.02, composition.stop.set)
    await composition.run_parts()
    assert not ran.is_set()


async def test_a_loop_that_ends_by_itself_is_a_failure() -> None:
    composition = Composition("tester")

    async def run(_: asyncio.Event) -> None:
        return

    composition.loop("listener", run)
    with pytest.raises(BaseExceptionGroup) as failure:
        await composition.run_parts()
    assert isinstance(first(failure), EndedEarly)
    assert "listener" in str(first(failure))


async def test_one_failing_part_cancels_the_others() -> None:
    composition, was_cancelled = Composition("tester"), False

    async def patient(stop: asyncio.Event) -> None:
        nonlocal was_cancelled
        try:
            await stop.wait()
        except asyncio.CancelledError:
            was_cancelled = True
            raise

    async def failing(_: asyncio.Event) -> None:
        raise Broken

    composition.loop("patient", patient)
    composition.loop("failing", failing)
    with pytest.raises(BaseExceptionGroup):
        await composition.run_parts()
    assert was_cancelled


async def test_a_consumer_is_drained_and_shows_in_probes() -> None:
    composition, bus, inbox = Composition("tester"), FakeBus(), Inbox()
    composition.consume(bus, StreamSub(QUEUE, "langgraph", "one", inbox))
    running = asyncio.create_task(composition.run_parts())
    await bus.publish(QUEUE, engineering_message("a"))
    await eventually(lambda: inbox.tasks == ["a"])
    async with probe(composition) as client:
        assert (await client.get("/readyz")).json() == {"status": "ok", "checks": {"bus": "ok"}}
        assert (
            'bus_handled_total{stream="engineering:queue",group="langgraph"} 1' in (await client.get("/metrics")).text
        )
        bus.is_down = True
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["checks"]) == (503, {"bus": "bus_unavailable"})
        assert (await client.get("/livez")).status_code == 200
    bus.is_down = False
    composition.stop.set()
    await running


async def test_readiness_names_slow_and_unknown_failures_and_quotes_none() -> None:
    health = Health(check_timeout_seconds=0.01)

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def crashes() -> None:
        raise RuntimeError("password=hunter2")

    health.add_check("slow", hangs)
    health.add_check("odd", crashes)
    assert await health.readiness() == (False, {"slow": "timeout", "odd": "failed"})


async def test_other_paths_go_to_the_services_own_app() -> None:
    composition = Composition("tester")
    async with probe(composition) as client:
        assert (await client.get("/other")).status_code == 404

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 299, "headers": []})
            await send({"type": "http.response.body", "body": b"own"})

        composition.mount(app)
        assert (await client.get("/other")).status_code == 299
        assert (await client.post("/livez")).status_code == 299
        assert (await client.get("/livez")).status_code == 200


async def test_a_handlers_fatal_error_ends_the_composition() -> None:
    composition, bus = Composition("tester"), FakeBus()

    async def handler(_: Any, __: Delivery) -> None:
        raise Broken

    composition.consume(bus, StreamSub(QUEUE, "langgraph", "one", handler))
    await bus.publish(QUEUE, engineering_message("a"))
    with pytest.raises(BaseExceptionGroup) as failure:
        await composition.run_parts()
    assert isinstance(first(failure), Broken)
