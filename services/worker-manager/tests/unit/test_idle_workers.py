"""PO workers nobody talks to: paused, woken by their input, ended."""

from __future__ import annotations

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from shared.contracts.queues.workers import LifecycleEvent, POWorkerInput, WorkerLifecycleEvent
from shared.contracts.topology import PO_INPUT, PO_OUTPUT
from shared.contracts.vocabulary import ResultStatus, WorkerStatus, WorkerType
from worker_manager.runtime.port import InstanceState
from worker_manager.testing import InMemoryManager


@pytest.fixture
def redis() -> FakeAsyncRedis:
    return FakeAsyncRedis(server=FakeServer(), protocol=2)


@pytest.fixture
def world(redis: FakeAsyncRedis) -> InMemoryManager:
    return InMemoryManager(redis, max_concurrent_workers=2, creation_wait_seconds=300, worker_retain_seconds=60)


async def running(world: InMemoryManager, worker_type: WorkerType = WorkerType.PO) -> str:
    worker_id = await world.create(worker_type=worker_type)
    await world.manager.on_lifecycle(WorkerLifecycleEvent(worker_id=worker_id, event=LifecycleEvent.STARTED))
    return worker_id


async def say(world: InMemoryManager, worker_id: str) -> None:
    await world.bus.publish(PO_INPUT.at(worker_id), POWorkerInput(request_id="chat:1", user_id="u", prompt="hi"))


async def test_a_po_worker_is_paused_after_ten_minutes_and_woken_by_its_input(world: InMemoryManager) -> None:
    worker_id = await running(world)
    world.clock.advance(599)
    await world.idle.drain_once()
    assert world.runtime.instances[worker_id].state is InstanceState.RUNNING
    world.clock.advance(2)
    await world.idle.drain_once()
    assert world.runtime.instances[worker_id].state is InstanceState.PAUSED
    assert (await world.status(worker_id)).status is WorkerStatus.PAUSED
    await world.idle.drain_once()
    assert world.runtime.instances[worker_id].state is InstanceState.PAUSED
    await say(world, worker_id)
    await world.idle.drain_once()
    assert world.runtime.instances[worker_id].state is InstanceState.RUNNING
    assert (await world.status(worker_id, "again")).status is WorkerStatus.RUNNING


async def test_a_po_worker_ends_after_half_an_hour_without_an_output(world: InMemoryManager) -> None:
    worker_id = await running(world)
    world.clock.advance(601)
    await world.idle.drain_once()
    world.clock.advance(1200)
    await world.idle.drain_once()
    assert world.runtime.instances[worker_id].state is InstanceState.EXITED
    assert (await world.status(worker_id)).status is WorkerStatus.STOPPED
    assert await world.bus.messages(PO_OUTPUT.at(worker_id)) == []


async def test_a_message_to_a_worker_that_ended_idle_is_answered(world: InMemoryManager) -> None:
    worker_id = await running(world)
    world.clock.advance(1801)
    await world.idle.drain_once()
    await say(world, worker_id)
    await world.reconciler.drain_once()
    (output,) = await world.bus.messages(PO_OUTPUT.at(worker_id))
    assert (output.request_id, output.status) == ("chat:1", ResultStatus.FAILED)


async def test_a_worker_at_work_is_neither_paused_nor_ended(world: InMemoryManager) -> None:
    worker_id = await running(world)
    await world.store.put(worker_id, {"request_id": "chat:1"})
    world.clock.advance(100_000)
    await world.idle.drain_once()
    assert world.runtime.instances[worker_id].state is InstanceState.RUNNING


async def test_an_unread_message_keeps_a_worker_awake(world: InMemoryManager) -> None:
    worker_id = await running(world)
    await say(world, worker_id)
    world.clock.advance(100_000)
    await world.idle.drain_once()
    assert world.runtime.instances[worker_id].state is InstanceState.RUNNING


async def test_developer_workers_are_left_alone(world: InMemoryManager) -> None:
    worker_id = await running(world, WorkerType.DEVELOPER)
    world.clock.advance(100_000)
    await world.idle.drain_once()
    assert world.runtime.instances[worker_id].state is InstanceState.RUNNING


async def test_an_old_worker_ends_at_its_next_idle_moment(world: InMemoryManager) -> None:
    worker_id = await running(world)
    world.clock.advance(72_001)
    await world.store.put(worker_id, {"active_at": world.clock.now().isoformat()})
    await world.idle.drain_once()
    assert world.runtime.instances[worker_id].state is InstanceState.EXITED
