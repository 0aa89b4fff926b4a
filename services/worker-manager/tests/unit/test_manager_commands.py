"""Create, delete and status, answered once each."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from shared.clients.errors import Unavailable
from shared.contracts.dto.accounts import WorkerTokenDTO, WorkerTokenRequest
from shared.contracts.dto.infrastructure import WorkerDTO, WorkerReport
from shared.contracts.queues.workers import CreateWorkerResponse, LifecycleEvent, RefusalCode, WorkerLifecycleEvent
from shared.contracts.topology import DEVELOPER_INPUT, PO_INPUT, WORKER_COMMANDS, WORKER_LIFECYCLE, WORKER_RESPONSES_PO
from shared.contracts.vocabulary import WorkerStatus, WorkerType
from shared.testing.api import FakeApi
from worker_manager.credentials import CredentialIssuer
from worker_manager.errors import RuntimeFailed
from worker_manager.records import WorkerRecord, derive_worker_id
from worker_manager.runtime.port import InstanceState
from worker_manager.testing import InMemoryManager, create_command


@pytest.fixture
def redis() -> FakeAsyncRedis:
    return FakeAsyncRedis(server=FakeServer(), protocol=2)


@pytest.fixture
def world(redis: FakeAsyncRedis) -> InMemoryManager:
    return InMemoryManager(redis, max_concurrent_workers=2, creation_wait_seconds=300, worker_retain_seconds=60)


async def test_a_created_worker_is_named_after_its_request_and_starts(world: InMemoryManager) -> None:
    (response,) = await world.send(create_command("run-1:worker:1"))
    assert isinstance(response, CreateWorkerResponse)
    assert response.success
    assert response.worker_id == derive_worker_id("run-1:worker:1")
    assert response.status is WorkerStatus.STARTING
    assert world.runtime.instances[response.worker_id].state is InstanceState.RUNNING


async def test_the_workers_group_exists_before_it_runs(world: InMemoryManager) -> None:
    developer = await world.create("d")
    product_owner = await world.create("p", worker_type=WorkerType.PO)
    assert "worker-wrapper" in (await world.bus.stats(DEVELOPER_INPUT.at(developer))).groups
    assert "worker-wrapper" in (await world.bus.stats(PO_INPUT.at(product_owner))).groups


async def test_answers_about_po_workers_go_to_their_own_stream(world: InMemoryManager) -> None:
    await world.send(create_command("po:u1:1", worker_type=WorkerType.PO))
    assert [response.request_id for response in await world.bus.messages(WORKER_RESPONSES_PO)] == ["po:u1:1"]


async def test_a_worker_gets_its_own_token_and_what_it_may_do(world: InMemoryManager) -> None:
    worker_id = await world.create(allowed_commands=["project.*"], instructions="be brief")
    spec = world.runtime.specs[worker_id]
    assert spec.environment["API_TOKEN"] == f"fake-token.{worker_id}"
    assert spec.environment["ALLOWED_COMMANDS"] == '["project.*"]'
    assert spec.instructions == "be brief"
    assert WorkerRecord.from_labels(spec.labels) == WorkerRecord.of(
        create_command(allowed_commands=["project.*"], instructions="be brief")
    )


async def test_a_repeated_request_adopts_and_answers_the_same(world: InMemoryManager) -> None:
    responses = [await world.send(create_command("r")) for _ in range(3)][-1]
    assert len(responses) == 3
    assert len({(response.success, response.worker_id, response.status) for response in responses}) == 1
    assert list(world.runtime.instances) == [derive_worker_id("r")]


async def test_a_repeated_request_does_not_bring_back_a_worker_that_was_deleted(world: InMemoryManager) -> None:
    worker_id = await world.create("r")
    await world.delete(worker_id)
    response = (await world.send(create_command("r")))[-1]
    assert response.success
    assert response.status is WorkerStatus.STOPPED
    assert world.runtime.instances == {}


async def test_started_makes_a_worker_running_and_the_api_hears_of_it(world: InMemoryManager) -> None:
    worker_id = await world.create()
    await world.bus.publish(WORKER_LIFECYCLE, WorkerLifecycleEvent(worker_id=worker_id, event=LifecycleEvent.STARTED))
    await world.bus.drain_once(world.consumer.lifecycle())
    assert (await world.status(worker_id)).status is WorkerStatus.RUNNING
    assert await world.parts.mirror.drain_once() == 0
    assert world.api.workers[worker_id].status is WorkerStatus.RUNNING


class FailingApi(FakeApi):
    """An api that does not answer while it is down."""

    is_down = True

    async def report_worker(self, body: WorkerReport) -> WorkerDTO:
        if self.is_down:
            raise Unavailable("down")
        return await super().report_worker(body)

    async def create_worker_token(self, body: WorkerTokenRequest) -> WorkerTokenDTO:
        if self.is_down:
            raise Unavailable("down")
        return await super().create_worker_token(body)


async def test_an_api_that_is_down_fails_no_command_and_is_told_later(redis: FakeAsyncRedis) -> None:
    api = FailingApi()
    world = InMemoryManager(redis, api=api)
    worker_id = await world.create(user_id=None)
    assert await world.parts.mirror.drain_once() == 1
    api.is_down = False
    assert await world.parts.mirror.drain_once() == 0
    assert api.workers[worker_id].status is WorkerStatus.STARTING


async def test_a_deleted_worker_leaves_nothing_and_no_output(world: InMemoryManager) -> None:
    worker_id = await world.create()
    response = await world.delete(worker_id)
    assert (response.success, response.status) == (True, WorkerStatus.STOPPED)
    assert world.runtime.instances == {}
    assert await world.outputs() == []
    assert (await world.hash_of(worker_id))["status"] == "STOPPED"
    assert (await world.delete(worker_id, "again")).success


async def test_an_unknown_worker_is_refused_on_both_streams(world: InMemoryManager) -> None:
    response = await world.status("w000000000000")
    assert (response.success, response.code, response.retryable) == (False, RefusalCode.UNKNOWN_WORKER, False)
    assert len(await world.answers("status-1")) == 2
    assert (await world.delete("w000000000000")).code is RefusalCode.UNKNOWN_WORKER


async def test_a_start_that_fails_is_refused_and_leaves_nothing_behind(world: InMemoryManager) -> None:
    world.runtime.failures.append(RuntimeFailed("no more processes"))
    (response,) = await world.send(create_command("r"))
    assert (response.success, response.code, response.retryable) == (False, RefusalCode.RUNTIME_FAILED, True)
    assert "no more processes" in (response.error or "")
    assert world.runtime.instances == {}
    assert await world.hash_of(derive_worker_id("r")) == {}
    assert (await world.send(create_command("r")))[-1].success


async def test_an_api_that_gives_no_token_is_a_retryable_refusal(redis: FakeAsyncRedis) -> None:
    world = InMemoryManager(redis, api=FailingApi())
    (response,) = await world.send(create_command())
    assert (response.success, response.retryable) == (False, True)
    assert world.runtime.instances == {}


async def test_a_worker_of_nobody_gets_no_token() -> None:
    issuer = CredentialIssuer(FakeApi(), "redis://r")
    credentials = await issuer.issue(WorkerRecord.of(create_command(user_id=None)))
    assert credentials.api_token is None
    assert "redis" not in repr(credentials)


async def test_a_creation_waits_for_a_slot_and_gets_it_when_one_is_free(world: InMemoryManager) -> None:
    first = await world.create("a")
    await world.create("b")
    assert await world.send(create_command("c")) == []
    assert (await world.status(derive_worker_id("c"))).status is WorkerStatus.STARTING
    await world.consumer.serve_queue()
    assert await world.answers("c") == []
    await world.delete(first)
    await world.consumer.serve_queue()
    (response,) = await world.answers("c")
    assert response.success
    await world.consumer.serve_queue()
    assert len(await world.answers("c")) == 1


async def test_a_newcomer_does_not_overtake_who_waits(world: InMemoryManager) -> None:
    first = await world.create("a")
    await world.create("b")
    await world.send(create_command("c"))
    world.clock.advance(1)
    await world.delete(first)
    assert await world.send(create_command("d")) == []
    await world.consumer.serve_queue()
    assert len(await world.answers("c")) == 1
    assert await world.answers("d") == []


async def test_waiting_too_long_is_refused_as_retryable(world: InMemoryManager) -> None:
    await world.create("a")
    await world.create("b")
    await world.send(create_command("c"))
    world.clock.advance(timedelta(minutes=5, seconds=1).total_seconds())
    await world.consumer.serve_queue()
    (response,) = await world.answers("c")
    assert (response.code, response.retryable) == (RefusalCode.RESOURCE_EXHAUSTED, True)
    assert await world.store.queued_creations() == {}


async def test_deleting_who_waits_withdraws_the_creation(world: InMemoryManager) -> None:
    await world.create("a")
    await world.create("b")
    await world.send(create_command("c"))
    assert (await world.delete(derive_worker_id("c"))).success
    assert await world.store.queued_creations() == {}


@pytest.mark.parametrize("count", [3])
async def test_one_command_delivered_many_times_makes_one_worker(world: InMemoryManager, count: int) -> None:
    for _ in range(count):
        await world.bus.publish(WORKER_COMMANDS, create_command("r"))
    await world.bus.drain_once(world.consumer.commands())
    assert len(await world.answers("r")) == count
    assert len(world.runtime.instances) == 1
