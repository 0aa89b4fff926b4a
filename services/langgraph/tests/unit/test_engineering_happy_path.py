"""From a task to a merged pull request, everybody answering well."""

from __future__ import annotations

from agent_graphs.testing import USAGE, World
from shared.contracts.dto.work import RunDTO, TaskDTO
from shared.contracts.run_machine import RunState
from shared.contracts.topology import DEPLOY_QUEUE, SCAFFOLDER_QUEUE
from shared.contracts.vocabulary import RunEventType, Stage, TaskStatus, TaskType, WaitKind, WorkerCapability

ALL_STAGES = (Stage.PLAN, Stage.CODE, Stage.TEST, Stage.REVIEW)


async def complete(world: World) -> tuple[TaskDTO, RunDTO, str]:
    """Take a fresh task of a scaffolded project to its end."""
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    worker = await world.answer_worker()
    await world.answer_stages(worker, *ALL_STAGES)
    run = await world.run_of(task)
    world.github.set_check(str(run.facts.head_sha))
    await world.tick()
    return task, await world.run_of(task), worker


async def test_a_task_of_a_new_project_goes_from_scaffolding_to_completed(world: World) -> None:
    project = await world.new_project(is_scaffolded=False)
    task = await world.new_task(project)
    await world.announce(task)
    run = await world.run_of(task)
    assert (run.state, run.wait_kind, run.wait_key) == (RunState.QUEUED, WaitKind.SCAFFOLD, f"{run.id}:scaffold:1")
    assert run.lease_owner is None

    await world.answer_scaffold(project)
    run = await world.run_of(task)
    assert (run.wait_kind, run.wait_key) == (WaitKind.WORKER_CREATED, f"{run.id}:worker:1")

    worker = await world.answer_worker()
    states = []
    for stage in ALL_STAGES:
        states.append((await world.run_of(task)).state)
        await world.answer_stages(worker, stage)
    assert states == [RunState.PLANNING, RunState.CODING, RunState.CODING, RunState.REVIEWING]

    run = await world.run_of(task)
    assert (run.state, run.wait_kind, run.wait_key) == (RunState.PR_OPEN, WaitKind.CHECKS, run.facts.head_sha)
    world.github.set_check(str(run.facts.head_sha))
    await world.tick()
    assert (await world.run_of(task)).state is RunState.COMPLETED
    assert (await world.api.get_task(task.id)).status is TaskStatus.COMPLETED
    (message,) = await world.bus.messages(SCAFFOLDER_QUEUE)
    assert message.project_name == "notes"


async def test_completion_rests_on_evidence_and_merges_the_checked_sha(world: World) -> None:
    _, run, _ = await complete(world)
    evidence = {row.kind: row for row in await world.api.list_evidence(run.id)}
    pull = world.github.repositories["acme/notes"].pulls[1]
    assert evidence["remote_head"].sha == evidence["checks"].sha == run.facts.head_sha == pull.head.sha
    assert evidence["checks"].conclusion == "success"
    assert evidence["merge"].sha == run.facts.merge_sha == pull.merge_commit_sha
    assert (run.facts.pr_number, run.facts.pr_url) == (1, pull.html_url)
    assert run.facts.branch == f"run/{run.id[:12]}"
    assert run.facts.branch not in world.github.repositories["acme/notes"].branches


async def test_completion_deletes_the_worker_and_hands_on_to_a_deploy_task(world: World) -> None:
    task, run, worker = await complete(world)
    assert await world.deletions() == [worker]
    (deploy,) = [row for row in await world.api.list_tasks() if row.type is TaskType.DEPLOY]
    assert deploy.parent_task_id == task.id
    (message,) = await world.bus.messages(DEPLOY_QUEUE)
    assert (message.task_id, message.user_id) == (deploy.id, run.owner_id)


async def test_the_worker_is_asked_for_once_with_the_developer_profile(world: World) -> None:
    _, run, _ = await complete(world)
    (creation,) = await world.creations()
    assert creation.request_id == f"{run.id}:worker:1"
    assert creation.context.run_id == run.id
    assert not creation.config.pooled
    assert creation.config.capabilities == [WorkerCapability.GIT, WorkerCapability.CURL]
    assert "AGENTS.md" in creation.config.instructions


async def test_stage_messages_carry_prompt_branch_token_and_fence(world: World) -> None:
    _, run, worker = await complete(world)
    inputs = await world.inputs(worker)
    assert [item.prompt.splitlines()[0] for item in inputs] == [f"[stage:{stage.value}]" for stage in ALL_STAGES]
    assert [item.request_id for item in inputs] == [f"{run.id}:{stage.value}:1" for stage in ALL_STAGES]
    assert [item.fence for item in inputs] == [1, 2, 3, 4]
    assert len({item.attempt_token for item in inputs}) == 4
    for item in inputs:
        assert item.repo is not None
        assert item.repo.token is not None
        assert (item.repo.clone_url, item.repo.base) == ("http://github.test/acme/notes.git", "main")
    review = inputs[-1].prompt
    assert "+# " in review
    assert "app/notes.py" in review


async def test_every_node_is_told_once_in_order_and_the_end_comes_last(world: World) -> None:
    _, run, _ = await complete(world)
    events = await world.api.list_events(run.id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type is RunEventType.RUN_FINISHED
    told = [(event.type, event.payload.node) for event in events if event.payload.node]
    for (first, node), (second, again) in zip(told[::2], told[1::2], strict=True):
        assert (first, second) == (RunEventType.NODE_STARTED, RunEventType.NODE_FINISHED)
        assert node == again
    nodes = [node for kind, node in told if kind is RunEventType.NODE_STARTED]
    assert nodes[:4] == ["load", "request_worker", "await_worker", "settle_worker"]
    assert nodes[-4:] == ["open_pr", "await_ci", "merge", "finish"]


async def test_usage_is_stored_once_per_agent_turn(world: World) -> None:
    _, run, _ = await complete(world)
    executions = await world.api.list_executions(run_id=run.id)
    assert [row.stage for row in executions] == ["plan", "code", "review"]
    assert all(row.usage == USAGE and row.owner_id == run.owner_id for row in executions)
    told = [event for event in await world.api.list_events(run.id) if event.type is RunEventType.TOKENS_USED]
    assert [event.payload.stage for event in told] == ["plan", "code", "review"]
    assert told[0].payload.cost_usd == USAGE.cost_usd


async def test_a_finished_run_leaves_no_checkpoint(world: World) -> None:
    _, run, _ = await complete(world)
    saved = [item async for item in world.checkpoints.saver.alist({"configurable": {"thread_id": run.id}})]
    assert saved == []


async def test_the_next_run_of_the_project_begins_when_the_first_has_ended(world: World) -> None:
    project = await world.new_project()
    first, second = await world.new_task(project, title="First"), await world.new_task(project, title="Second")
    await world.announce(first)
    await world.announce(second)
    assert (await world.run_of(second)).wait_kind is None
    worker = await world.answer_worker()
    await world.answer_stages(worker, *ALL_STAGES)
    world.github.set_check(str((await world.run_of(first)).facts.head_sha))
    await world.tick()
    assert (await world.run_of(first)).state is RunState.COMPLETED
    assert (await world.run_of(second)).wait_kind is WaitKind.WORKER_CREATED
