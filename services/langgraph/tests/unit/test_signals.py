"""Messages that come twice, late, early, forged or for nothing; cancellation at every wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from agent_graphs.consumers import PAUSE_SETTING
from agent_graphs.testing import USAGE, World, worker_of
from shared.contracts.dto.work import RunClaim, RunCreate, RunDTO, TaskDTO, TaskUpdate
from shared.contracts.queues.events import DeadLetterReason
from shared.contracts.queues.work import EngineeringMessage, ScaffolderResult
from shared.contracts.queues.workers import (
    CreateWorkerResponse,
    DeleteWorkerResponse,
    DeveloperWorkerInput,
    FailureCause,
    RefusalCode,
)
from shared.contracts.run_machine import RunState
from shared.contracts.topology import (
    DEVELOPER_OUTPUT,
    ENGINEERING_QUEUE,
    SCAFFOLDER_QUEUE,
    SCAFFOLDER_RESULTS,
    WORKER_RESPONSES_DEVELOPER,
)
from shared.contracts.vocabulary import ResultStatus, Stage, TaskStatus, TaskType, WaitKind

AFTER_PLAN = (Stage.CODE, Stage.TEST, Stage.REVIEW)


async def begin(world: World) -> tuple[TaskDTO, str]:
    """Return a task whose worker is asked for its plan."""
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    return task, await world.answer_worker()


async def refused(world: World) -> list[str]:
    """Return the ids of outputs among the dead letters."""
    letters = await world.bus.messages(DEVELOPER_OUTPUT.dead_letters)
    assert all(letter.reason is DeadLetterReason.PERMANENT_ERROR for letter in letters)
    return [letter.error for letter in letters]


async def test_a_repeated_task_message_changes_nothing(world: World) -> None:
    task, worker = await begin(world)
    before = await world.run_of(task)
    await world.announce(task)
    after = await world.run_of(task)
    assert (after.state, after.wait_key, after.wake_at) == (before.state, before.wait_key, before.wake_at)
    assert len(await world.inputs(worker)) == len(await world.creations()) == 1


async def test_a_repeated_output_moves_the_run_once_and_costs_once(world: World) -> None:
    task, worker = await begin(world)
    output = await world.answer_turn(worker)
    await world.bus.publish(DEVELOPER_OUTPUT, output)
    await world.pump()
    assert [item.stage for item in await world.inputs(worker)] == [Stage.PLAN, Stage.CODE]
    assert len(await world.api.list_executions()) == 1
    assert (await world.run_of(task)).state is RunState.CODING


async def test_a_late_output_is_dropped_but_its_cost_is_stored(world: World) -> None:
    task, worker = await begin(world)
    request = (await world.inputs(worker))[0]
    await world.tick(61)
    await world.tick(2000)
    second = await world.answer_worker()
    await world.bus.publish(DEVELOPER_OUTPUT, world.output_for(request, worker))
    await world.pump()
    assert (await world.run_of(task)).state is RunState.PLANNING
    assert [item.attempt for item in await world.inputs(second)] == [2]
    (execution,) = await world.api.list_executions()
    assert (execution.request_id, execution.usage) == (request.request_id, USAGE)


async def test_an_output_after_the_end_is_dropped(world: World) -> None:
    task, worker = await begin(world)
    request = (await world.inputs(worker))[0]
    await world.api.cancel_run((await world.run_of(task)).id, "changed my mind")
    await world.tick()
    await world.bus.publish(DEVELOPER_OUTPUT, world.output_for(request, worker))
    await world.pump()
    assert (await world.run_of(task)).state is RunState.CANCELLED
    assert await refused(world) == []
    assert len(await world.api.list_executions()) == 1


@pytest.mark.parametrize("token", [None, "0" * 32, ""])
async def test_an_output_without_the_attempts_token_is_refused(world: World, token: str | None) -> None:
    task, worker = await begin(world)
    await world.answer_turn(worker, attempt_token=token)
    assert (await world.run_of(task)).state is RunState.PLANNING
    assert len(await refused(world)) == 1
    assert await world.api.list_executions() == []


async def test_an_output_with_another_fence_does_not_move_the_run(world: World) -> None:
    task, worker = await begin(world)
    await world.answer_turn(worker, fence=7)
    assert (await world.run_of(task)).state is RunState.PLANNING
    await world.answer_turn(worker)
    assert (await world.run_of(task)).state is RunState.CODING


async def test_the_token_of_one_request_does_not_open_another(world: World) -> None:
    task, worker = await begin(world)
    plan_token = (await world.inputs(worker))[0].attempt_token
    await world.answer_turn(worker)
    await world.answer_turn(worker, attempt_token=plan_token)
    assert (await world.inputs(worker))[-1].stage is Stage.CODE
    assert len(await refused(world)) == 1
    assert (await world.run_of(task)).state is RunState.CODING


async def test_a_result_of_an_unknown_run_goes_to_the_dead_letters(world: World) -> None:
    for request in ("0" * 32 + ":scaffold:1", "not-one-of-ours"):
        result = ScaffolderResult(request_id=request, status=ResultStatus.SUCCESS, project_id="p")
        await world.bus.publish(SCAFFOLDER_RESULTS, result)
    await world.pump()
    letters = await world.bus.messages(SCAFFOLDER_RESULTS.dead_letters)
    assert [letter.reason for letter in letters] == [DeadLetterReason.PERMANENT_ERROR] * 2


async def test_a_message_for_an_unknown_foreign_or_other_task_goes_to_the_dead_letters(world: World) -> None:
    project = await world.new_project()
    task, deploy = await world.new_task(project), await world.new_task(project, TaskType.DEPLOY)
    for task_id, user in (("nobody", "user-1"), (task.id, "user-2"), (deploy.id, "user-1")):
        message = EngineeringMessage(task_id=task_id, project_id=project.id, user_id=user)
        await world.bus.publish(ENGINEERING_QUEUE, message)
    await world.pump()
    assert len(await world.bus.messages(ENGINEERING_QUEUE.dead_letters)) == 3
    assert await world.api.list_runs() == []


async def test_a_final_task_without_a_run_goes_to_the_dead_letters(world: World) -> None:
    task = await world.new_task(await world.new_project())
    await world.api.update_task(task.id, TaskUpdate(status=TaskStatus.CANCELLED))
    await world.announce(task)
    assert len(await world.bus.messages(ENGINEERING_QUEUE.dead_letters)) == 1


async def test_a_message_for_a_finished_run_is_acknowledged(world: World) -> None:
    task, worker = await begin(world)
    for _ in range(3):
        await world.answer_turn(worker, status=ResultStatus.ERROR)
    assert (await world.run_of(task)).state is RunState.FAILED
    await world.announce(task)
    assert await world.bus.messages(ENGINEERING_QUEUE.dead_letters) == []


async def test_a_paused_platform_begins_nothing_new_but_goes_on_with_what_it_began(world: World) -> None:
    first, worker = await begin(world)
    second = await world.new_task(await world.new_project("other"))
    await world.api.put_setting(PAUSE_SETTING, True)
    await world.announce(second)
    assert await world.api.list_runs(task_id=second.id) == []
    await world.answer_turn(worker)
    assert (await world.run_of(first)).state is RunState.CODING
    await world.api.put_setting(PAUSE_SETTING, False)
    await world.announce(second)
    assert (await world.run_of(second)).wait_kind is WaitKind.WORKER_CREATED


async def test_a_worker_that_comes_when_nobody_waits_any_more_is_deleted(world: World) -> None:
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    await world.api.cancel_run((await world.run_of(task)).id, "changed my mind")
    await world.tick()
    worker = await world.answer_worker()
    assert await world.deletions() == [worker]


async def test_a_repeated_creation_response_leaves_the_worker_alone(world: World) -> None:
    task, worker = await begin(world)
    run = await world.run_of(task)
    response = CreateWorkerResponse(request_id=f"{run.id}:worker:1", success=True, worker_id=worker)
    await world.bus.publish(WORKER_RESPONSES_DEVELOPER, response)
    await world.bus.publish(
        WORKER_RESPONSES_DEVELOPER,
        DeleteWorkerResponse(request_id=f"{run.id}:delete:x", success=False, code=RefusalCode.UNKNOWN_WORKER),
    )
    await world.pump()
    assert await world.deletions() == []
    assert (await world.run_of(task)).wait_kind is WaitKind.WORKER_OUTPUT


async def to_scaffold(world: World) -> TaskDTO:
    task = await world.new_task(await world.new_project(is_scaffolded=False))
    await world.announce(task)
    return task


async def to_worker(world: World) -> TaskDTO:
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    return task


def to_stage(stage: Stage) -> Callable[[World], Awaitable[TaskDTO]]:
    async def go(world: World) -> TaskDTO:
        task, worker = await begin(world)
        for done in (Stage.PLAN, *AFTER_PLAN):
            if done is stage:
                return task
            await world.answer_stages(worker, done)
        return task

    return go


async def to_quota(world: World) -> TaskDTO:
    task, worker = await begin(world)
    await world.answer_turn(worker, status=ResultStatus.ERROR, cause=FailureCause.PROVIDER_LIMIT)
    return task


WAITS = {
    "scaffold": to_scaffold,
    "worker": to_worker,
    "plan": to_stage(Stage.PLAN),
    "code": to_stage(Stage.CODE),
    "test": to_stage(Stage.TEST),
    "review": to_stage(Stage.REVIEW),
    "checks": to_stage(Stage.FREE),
    "quota": to_quota,
}


@pytest.mark.parametrize("where", WAITS)
async def test_cancelling_a_waiting_run_frees_its_worker_and_closes_its_branch(world: World, where: str) -> None:
    task = await WAITS[where](world)
    run = await world.run_of(task)
    await world.api.cancel_run(run.id, "changed my mind")
    await world.tick()
    run = await world.run_of(task)
    assert (run.state, run.reason, run.lease_owner) == (RunState.CANCELLED, "changed my mind", None)
    had_worker = where not in ("scaffold", "worker")
    assert await world.deletions() == ([worker_of(f"{run.id}:worker:1")] if had_worker else [])
    repository = world.github.repositories.get("acme/notes")
    assert repository is None or f"run/{run.id[:12]}" not in repository.branches
    assert (await world.api.get_task(task.id)).status is TaskStatus.CANCELLED


async def test_a_run_cancelled_before_it_began_ends_without_any_effect(world: World) -> None:
    project = await world.new_project(is_scaffolded=False)
    first, second = await world.new_task(project), await world.new_task(project, title="Second")
    await world.announce(first)
    await world.announce(second)
    run = await world.run_of(second)
    await world.api.cancel_run(run.id, "not needed")
    await world.tick()
    assert (await world.run_of(second)).state is RunState.CANCELLED
    assert len(await world.bus.messages(SCAFFOLDER_QUEUE)) == 1


async def test_a_run_held_by_another_driver_is_left_to_it(world: World) -> None:
    task, worker = await begin(world)
    run = await world.run_of(task)
    hold(world, run)
    await world.announce(task)
    world.clock.advance(61)
    await world.poller.run()
    assert len(await world.inputs(worker)) == 1


async def test_a_restarted_replica_goes_on_with_the_runs_it_held(world: World) -> None:
    task = await world.new_task(await world.new_project())
    run = await world.api.create_run(RunCreate(task_id=task.id, key=f"run:{task.id}"))
    await world.api.claim_run(run.id, RunClaim(owner=world.name, ttl_seconds=3600))
    await world.replica().poller.run()
    assert (await world.run_of(task)).lease_owner is None
    assert len(await world.creations()) == 1


async def test_another_replica_leaves_them_alone(world: World) -> None:
    task = await world.new_task(await world.new_project())
    run = await world.api.create_run(RunCreate(task_id=task.id, key=f"run:{task.id}"))
    await world.api.claim_run(run.id, RunClaim(owner=world.name, ttl_seconds=3600))
    await world.replica("langgraph-2").poller.run()
    assert (await world.run_of(task)).lease_owner == world.name
    assert await world.creations() == []


async def test_an_answer_that_meets_a_held_run_waits_for_its_release(world: World) -> None:
    task, worker = await begin(world)
    run = await world.run_of(task)
    hold(world, run)
    request: DeveloperWorkerInput = (await world.inputs(worker))[0]
    await world.bus.publish(DEVELOPER_OUTPUT, world.output_for(request, worker))
    handling = asyncio.create_task(world.pump())
    for _ in range(50):
        await asyncio.sleep(0)
        world.clock.advance(0.2)
    assert not handling.done()
    assert (await world.run_of(task)).state is RunState.PLANNING
    let_go(world, run)
    while not handling.done():
        await asyncio.sleep(0)
        world.clock.advance(0.2)
    await handling
    assert (await world.run_of(task)).state is RunState.CODING


def hold(world: World, run: RunDTO) -> None:
    """Let another process hold the run's lease."""
    lease = {"lease_owner": "langgraph-2", "lease_expires_at": world.clock.now() + timedelta(hours=1)}
    world.api.runs[run.id] = world.api.runs[run.id].model_copy(update=lease)


def let_go(world: World, run: RunDTO) -> None:
    lease = {"lease_owner": None, "lease_expires_at": None}
    world.api.runs[run.id] = world.api.runs[run.id].model_copy(update=lease)
