"""The end of a worker: one output for the request in progress, whichever signal came first."""

from __future__ import annotations

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from shared.contracts.queues.workers import (
    DeveloperWorkerOutput,
    FailureCause,
    LifecycleEvent,
    POWorkerInput,
    WorkerLifecycleEvent,
)
from shared.contracts.topology import DEVELOPER_INPUT, DEVELOPER_OUTPUT, PO_INPUT, PO_OUTPUT
from shared.contracts.vocabulary import ResultStatus, WorkerStatus, WorkerType
from shared.testing.memory_streams import MemoryStreams
from worker_manager.deaths import Death
from worker_manager.testing import InMemoryManager, developer_input


@pytest.fixture
def redis() -> FakeAsyncRedis:
    return FakeAsyncRedis(server=FakeServer(), protocol=2)


@pytest.fixture
def world(redis: FakeAsyncRedis) -> InMemoryManager:
    return InMemoryManager(redis, max_concurrent_workers=2, creation_wait_seconds=300, worker_retain_seconds=60)


@pytest.mark.parametrize(
    ("exit_code", "is_oom", "words", "cause"),
    [
        (137, False, "killed (signal 9, SIGKILL)", FailureCause.CRASH),
        (137, True, "OOM", FailureCause.OOM),
        (3, False, "exit code 3", FailureCause.CRASH),
        (None, False, "killed", FailureCause.CRASH),
    ],
)
async def test_a_death_with_a_request_in_progress_becomes_one_failed_output(
    world: InMemoryManager, exit_code: int | None, is_oom: bool, words: str, cause: FailureCause
) -> None:
    worker_id = await world.create()
    message = developer_input()
    await world.take(worker_id, message)
    await world.die(worker_id, exit_code, is_oom=is_oom)
    (output,) = await world.outputs()
    assert output.status is ResultStatus.FAILED
    assert words in (output.error or "")
    assert (output.cause, output.exit_code) == (cause, exit_code)
    assert (output.request_id, output.task_id, output.run_id, output.fence) == ("run-1:code:1", "task-1", "run-1", 7)
    assert output.correlation_id == message.correlation_id
    assert (await world.status(worker_id)).status is WorkerStatus.FAILED


async def test_repeated_signals_of_every_kind_make_one_output(world: InMemoryManager) -> None:
    worker_id = await world.create()
    await world.take(worker_id, developer_input())
    await world.manager.on_lifecycle(
        WorkerLifecycleEvent(worker_id=worker_id, event=LifecycleEvent.FAILED, error="lost Redis")
    )
    for _ in range(3):
        await world.die(worker_id, 1)
    await world.reconciler.drain_once()
    (output,) = await world.outputs()
    assert "lost Redis" in (output.error or "")


async def test_a_request_that_was_answered_before_the_death_gets_no_second_output(world: InMemoryManager) -> None:
    worker_id = await world.create()
    await world.take(worker_id, developer_input())
    answered = DeveloperWorkerOutput(request_id="run-1:code:1", status=ResultStatus.SUCCESS, task_id="task-1")
    await world.bus.publish(DEVELOPER_OUTPUT, answered)
    await world.die(worker_id, 137)
    await world.reconciler.drain_once()
    assert await world.outputs() == [answered]
    assert (await world.bus.stats(DEVELOPER_INPUT.at(worker_id))).groups["worker-wrapper"].pending == 0


async def test_a_death_reported_just_before_a_crash_of_the_manager_is_not_reported_again(
    world: InMemoryManager,
) -> None:
    worker_id = await world.create()
    await world.take(worker_id, developer_input())
    before = await world.hash_of(worker_id)
    await world.die(worker_id, 137)
    # As if the manager had died after publishing and before it wrote the final status.
    await world.store.forget(worker_id)
    await world.store.put(worker_id, before)
    await world.reconciler.drain_once()
    assert len(await world.outputs()) == 1


async def test_without_a_request_in_progress_only_the_status_changes(world: InMemoryManager) -> None:
    worker_id = await world.create()
    await world.die(worker_id, 1)
    assert await world.outputs() == []
    assert (await world.hash_of(worker_id))["status"] == "FAILED"


async def test_exit_zero_is_completed_and_no_failure(world: InMemoryManager) -> None:
    worker_id = await world.create()
    await world.die(worker_id, 0)
    assert await world.outputs() == []
    assert (await world.status(worker_id)).status is WorkerStatus.COMPLETED


async def test_a_deliberate_delete_with_a_request_in_progress_tells_nothing(world: InMemoryManager) -> None:
    worker_id = await world.create()
    await world.take(worker_id, developer_input())
    await world.delete(worker_id)
    await world.manager.on_death(Death(worker_id, 137))
    await world.reconciler.drain_once()
    assert await world.outputs() == []


async def test_messages_a_dead_worker_never_read_are_answered_once_each(world: InMemoryManager) -> None:
    worker_id = await world.create()
    await world.take(worker_id, developer_input("run-1:code:1"))
    await world.bus.publish(DEVELOPER_INPUT.at(worker_id), developer_input("run-1:code:2"))
    await world.die(worker_id, 137)
    for _ in range(2):
        await world.reconciler.drain_once()
    await world.bus.publish(DEVELOPER_INPUT.at(worker_id), developer_input("run-1:code:3"))
    await world.reconciler.drain_once()
    found = [(output.request_id, output.status) for output in await world.outputs()]
    assert found == [(f"run-1:code:{number}", ResultStatus.FAILED) for number in (1, 2, 3)]


async def test_a_dead_po_worker_answers_its_user(world: InMemoryManager) -> None:
    worker_id = await world.create("po", worker_type=WorkerType.PO)
    await world.store.put(worker_id, {"request_id": "chat:1", "user_id": "user-1", "claimed_at": "1"})
    await world.die(worker_id, 137)
    await world.bus.publish(PO_INPUT.at(worker_id), POWorkerInput(request_id="chat:2", user_id="user-1", prompt="hi"))
    await world.reconciler.drain_once()
    outputs = await world.bus.messages(PO_OUTPUT.at(worker_id))
    assert [(output.request_id, output.user_id, output.is_final) for output in outputs] == [
        ("chat:1", "user-1", True),
        ("chat:2", "user-1", True),
    ]


async def test_an_unknown_workers_death_is_not_invented_into_a_state(world: InMemoryManager) -> None:
    assert await world.manager.on_death(Death("w000000000000", 1)) is None
    assert await world.redis.keys("*") == []


async def test_a_death_missed_while_the_manager_was_away_is_reported_by_the_first_round(
    world: InMemoryManager,
) -> None:
    worker_id = await world.create()
    await world.take(worker_id, developer_input())
    world.runtime.die(worker_id, 137)
    await world.reconciler.drain_once()
    assert len(await world.outputs()) == 1


async def test_a_live_worker_without_redis_state_is_kept_and_rebuilt(world: InMemoryManager) -> None:
    worker_id = await world.create()
    await world.redis.flushall()
    world.bus.streams = MemoryStreams(world.clock.monotonic)
    await world.redis.set(f"worker:heartbeat:{worker_id}", "1")
    await world.reconciler.drain_once()
    assert (await world.hash_of(worker_id))["status"] == "RUNNING"
    assert (await world.hash_of(worker_id))["run_id"] == "run-1"
    assert "worker-wrapper" in (await world.bus.stats(DEVELOPER_INPUT.at(worker_id))).groups
    assert worker_id in world.runtime.instances


async def test_a_worker_whose_started_message_was_lost_becomes_running_by_its_heartbeat(
    world: InMemoryManager,
) -> None:
    worker_id = await world.create()
    await world.redis.set(f"worker:heartbeat:{worker_id}", "1")
    await world.reconciler.drain_once()
    assert (await world.status(worker_id)).status is WorkerStatus.RUNNING


async def test_a_worker_gone_without_a_trace_is_reported_after_a_while(world: InMemoryManager) -> None:
    worker_id = await world.create()
    await world.take(worker_id, developer_input())
    await world.runtime.remove(worker_id)
    await world.reconciler.drain_once()
    assert await world.outputs() == []
    world.clock.advance(181)
    await world.reconciler.drain_once()
    assert len(await world.outputs()) == 1


async def test_an_ended_workers_files_are_deleted_after_the_time_to_keep_them(world: InMemoryManager) -> None:
    worker_id = await world.create()
    await world.die(worker_id, 1)
    await world.reconciler.drain_once()
    assert worker_id in world.runtime.instances
    world.clock.advance(61)
    await world.reconciler.drain_once()
    assert worker_id not in world.runtime.instances


async def test_what_lies_behind_a_death_told_between_two_rounds_is_answered_in_the_next(
    world: InMemoryManager,
) -> None:
    await world.reconciler.drain_once()
    worker_id = await world.create()
    await world.bus.publish(DEVELOPER_INPUT.at(worker_id), developer_input())
    await world.die(worker_id, 1)
    await world.reconciler.drain_once()
    assert len(await world.outputs()) == 1
