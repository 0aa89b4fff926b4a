"""What the scheduler announces, asks for and records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest

from orchestrator_scheduler.jobs.provisioning import Provisioning
from orchestrator_scheduler.jobs.reconciler import PAUSE_SETTING, Patience, Reconciler
from orchestrator_scheduler.leadership import Leader
from shared.contracts.dto.infrastructure import ServerCreate
from shared.contracts.dto.work import ProjectCreate, RunClaim, RunCreate, RunRelease, TaskCreate, TaskDTO, TaskUpdate
from shared.contracts.queues.events import ProvisionerResult
from shared.contracts.topology import ADMIN_NOTIFICATIONS, DEPLOY_QUEUE, ENGINEERING_QUEUE, PROVISIONER_QUEUE
from shared.contracts.vocabulary import ResultStatus, ServerStatus, TaskStatus, TaskType, WaitKind
from shared.redis.subscription import Delivery
from shared.testing.api import FakeApi
from shared.testing.bus import FakeRedisStreamClient
from shared.testing.clock import FakeClock

DELIVERY = Delivery(stream="provisioner:results", entry_id="1-0", group="scheduler", attempt=1)


@dataclass
class World:
    clock: FakeClock
    api: FakeApi
    bus: FakeRedisStreamClient
    reconciler: Reconciler
    provisioning: Provisioning

    async def task(self, kind: TaskType = TaskType.ENGINEERING) -> TaskDTO:
        project = await self.api.create_project(ProjectCreate(name=f"shop-{kind}", owner_id="ada"))
        return await self.api.create_task(TaskCreate(project_id=project.id, type=kind, title="Build"))

    async def announced(self) -> list[str]:
        engineering = await self.bus.messages(ENGINEERING_QUEUE)
        deploys = await self.bus.messages(DEPLOY_QUEUE)
        return [*(message.task_id for message in engineering), *(message.task_id for message in deploys)]


@pytest.fixture
def world() -> World:
    clock = FakeClock()
    api, bus = FakeApi(clock), FakeRedisStreamClient()
    patience = Patience(orphan=timedelta(seconds=15), overdue=timedelta(seconds=5))
    return World(clock, api, bus, Reconciler(api, bus, clock, patience), Provisioning(api, bus, clock))


@pytest.mark.parametrize("kind", list(TaskType))
async def test_a_queued_task_without_a_run_is_announced_after_a_while(world: World, kind: TaskType) -> None:
    task = await world.task(kind)
    await world.reconciler.run()
    assert await world.announced() == []
    world.clock.advance(16)
    await world.reconciler.run()
    assert await world.announced() == [task.id]


async def test_a_deployment_is_not_announced_before_the_work_it_follows_is_completed(world: World) -> None:
    work = await world.task()
    await world.api.create_run(RunCreate(task_id=work.id, key="k"))
    deploy = await world.api.create_task(
        TaskCreate(project_id=work.project_id, type=TaskType.DEPLOY, title="Deploy", parent_task_id=work.id)
    )
    world.clock.advance(16)
    await world.reconciler.run()
    assert deploy.id not in await world.announced()
    await world.api.update_task(work.id, TaskUpdate(status=TaskStatus.COMPLETED))
    await world.reconciler.run()
    assert deploy.id in await world.announced()


async def test_nothing_new_is_announced_while_the_platform_is_paused(world: World) -> None:
    await world.task()
    await world.api.put_setting(PAUSE_SETTING, True)
    world.clock.advance(60)
    await world.reconciler.run()
    assert await world.announced() == []


async def test_a_run_is_announced_only_when_nobody_drives_it_and_its_time_has_come(world: World) -> None:
    task = await world.task()
    run = await world.api.create_run(RunCreate(task_id=task.id, key="k"))
    run = await world.api.claim_run(run.id, RunClaim(owner="a", ttl_seconds=30))
    world.clock.advance(10)
    await world.reconciler.run()
    assert await world.announced() == []
    wake_at = world.clock.now() + timedelta(seconds=100)
    release = RunRelease(owner="a", fence=run.fence, wait_kind=WaitKind.WORKER_OUTPUT, wake_at=wake_at)
    await world.api.release_run(run.id, release)
    world.clock.advance(60)
    await world.reconciler.run()
    assert await world.announced() == []
    world.clock.advance(60)
    await world.reconciler.run()
    assert await world.announced() == [task.id]


async def test_a_run_whose_driver_died_is_announced_when_its_lease_has_expired(world: World) -> None:
    task = await world.task()
    run = await world.api.create_run(RunCreate(task_id=task.id, key="k"))
    await world.api.claim_run(run.id, RunClaim(owner="a", ttl_seconds=30))
    world.clock.advance(40)
    await world.reconciler.run()
    assert await world.announced() == [task.id]


async def test_a_waiting_server_is_asked_for_once_and_again_after_ten_minutes(world: World) -> None:
    await world.api.create_server(ServerCreate(handle="embedded", host="127.0.0.1"))
    for _ in range(3):
        await world.provisioning.trigger()
    assert len(await world.bus.messages(PROVISIONER_QUEUE)) == 1
    world.clock.advance(601)
    await world.provisioning.trigger()
    assert len(await world.bus.messages(PROVISIONER_QUEUE)) == 2


async def test_a_prepared_server_becomes_active(world: World) -> None:
    await world.api.create_server(ServerCreate(handle="embedded", host="127.0.0.1"))
    result = ProvisionerResult(request_id="r", status=ResultStatus.SUCCESS, server_handle="embedded")
    await world.provisioning.on_result(result, DELIVERY)
    server = await world.api.get_server("embedded")
    assert (server.status, server.host) == (ServerStatus.ACTIVE, "127.0.0.1")


async def test_a_failed_preparation_opens_one_incident_and_tells_administrators(world: World) -> None:
    await world.api.create_server(ServerCreate(handle="embedded", host="127.0.0.1"))
    result = ProvisionerResult(
        request_id="r", status=ResultStatus.FAILED, server_handle="embedded", errors=["apt is locked"]
    )
    for _ in range(2):
        await world.provisioning.on_result(result, DELIVERY)
    server = await world.api.get_server("embedded")
    assert (server.status, server.last_error) == (ServerStatus.UNREACHABLE, "apt is locked")
    assert len(await world.api.list_incidents()) == 1
    assert (await world.bus.messages(ADMIN_NOTIFICATIONS))[0].text == "apt is locked"


async def test_one_replica_leads_a_job_and_another_takes_over_when_it_is_gone(world: World) -> None:
    rounds: list[str] = []

    async def job_of(name: str) -> None:
        rounds.append(name)

    first = Leader(world.api, "scheduler-1").only("job", lambda: job_of("first"), 30)
    second = Leader(world.api, "scheduler-2").only("job", lambda: job_of("second"), 30)
    await first()
    await second()
    await first()
    world.clock.advance(31)
    await second()
    await first()
    assert rounds == ["first", "first", "second"]
