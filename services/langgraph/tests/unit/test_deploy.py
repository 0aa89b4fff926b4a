"""The deploy graph: from a merged commit to an address that answers, or back to the last good one."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from langchain_core.runnables import RunnableConfig

from agent_graphs.identity import generated_secret
from agent_graphs.testing import World
from shared.clients.github.errors import GitHubUnavailable
from shared.contracts.dto.infrastructure import ServerUpdate
from shared.contracts.dto.work import ProjectDTO, ProjectUpdate, RunDTO, TaskDTO
from shared.contracts.queues.events import WorkflowConclusion, WorkflowState
from shared.contracts.run_machine import RunState
from shared.contracts.topology import ENGINEERING_QUEUE, WORKFLOW_STATUS
from shared.contracts.vocabulary import (
    ProjectStatus,
    RunEventType,
    ServerStatus,
    TaskStatus,
    TaskType,
    WaitingReason,
    WaitKind,
)
from shared.testing.github import FakeGitHub

ENV_EXAMPLE = """
# derived: the port
PORT=
# generated
SECRET_KEY=
# literal
LOG_LEVEL=info
# derived
APP_URL=
"""


class Deploying:
    def __init__(self, world: World, project: ProjectDTO, task: TaskDTO) -> None:
        self.world, self.project, self.task = world, project, task
        self.repository = world.github.repositories["acme/notes"]

    @property
    def sha(self) -> str:
        return self.repository.branches["main"]

    async def run(self) -> RunDTO:
        return await self.world.run_of(self.task)

    async def finish_workflow(self, conclusion: str = "success", log: str = "") -> None:
        newest = self.repository.workflow_runs[0]
        self.world.github.finish_workflow("acme/notes", newest.id, conclusion, log=log)
        await self.world.tick()


async def prepare(world: World, env_example: str = ENV_EXAMPLE) -> Deploying:
    project = await world.new_project(is_scaffolded=False)
    project = await world.scaffold(project, {".env.example": env_example})
    return Deploying(world, project, await world.new_task(project, TaskType.DEPLOY))


@pytest.fixture
async def deploying(world: World) -> Deploying:
    await world.new_server()
    prepared = await prepare(world)
    await world.announce(prepared.task)
    return prepared


async def test_a_deploy_goes_through_its_states_to_an_address_that_answers(deploying: Deploying) -> None:
    run = await deploying.run()
    assert (run.state, run.wait_kind, run.lease_owner) == (RunState.DEPLOYING, WaitKind.WORKFLOW, None)
    await deploying.finish_workflow()
    assert (await deploying.run()).state is RunState.VERIFYING
    deploying.world.serve(deploying.sha)
    await deploying.world.tick()
    run = await deploying.run()
    assert (run.state, run.facts.deployed_url) == (RunState.COMPLETED, "http://127.0.0.1:8100/")
    project = await deploying.world.api.get_project(deploying.project.id)
    assert (project.status, project.deployed_sha) == (ProjectStatus.ACTIVE, deploying.sha)
    assert (await deploying.world.api.get_task(deploying.task.id)).status is TaskStatus.COMPLETED
    (smoke,) = await deploying.world.api.list_evidence(run.id)
    assert (smoke.kind, smoke.sha, smoke.url) == ("smoke", deploying.sha, "http://127.0.0.1:8100/")
    assert (await deploying.world.api.list_events(run.id))[-1].type is RunEventType.RUN_FINISHED


async def test_the_workflow_is_dispatched_once_with_its_inputs(deploying: Deploying) -> None:
    run = await deploying.run()
    ((workflow, ref, inputs),) = deploying.repository.dispatches
    assert (workflow, ref) == ("main.yml", "main")
    assert inputs == {"app": "notes", "sha": deploying.sha, "port": "8100", "correlation": f"{run.id[:12]}-1"}
    (row,) = await deploying.world.api.list_deployments(run_id=run.id)
    assert (row.correlation, row.sha) == (f"{run.id[:12]}-1", deploying.sha)


async def test_repository_secrets_hold_what_each_variable_needs(deploying: Deploying) -> None:
    secret = deploying.world.policy.attempt_secret
    assert deploying.repository.secrets == {
        "SECRET_KEY": generated_secret(secret, deploying.project.id, "SECRET_KEY").get_secret_value(),
        "LOG_LEVEL": "info",
        "APP_URL": "http://127.0.0.1:8100/",
        "DEPLOY_URL": "http://127.0.0.1:9",
        "DEPLOY_TOKEN": "a-deploy-token-of-tests",
    }


async def test_no_secret_enters_the_checkpoints(deploying: Deploying) -> None:
    run = await deploying.run()
    config: RunnableConfig = {"configurable": {"thread_id": run.id}}
    saved = str([item async for item in deploying.world.checkpoints.saver.alist(config)])
    for name in ("SECRET_KEY", "DEPLOY_TOKEN"):
        assert deploying.repository.secrets[name] not in saved


async def test_the_workflows_progress_is_told(deploying: Deploying) -> None:
    await deploying.world.tick()
    await deploying.finish_workflow()
    told = [event.result for event in await deploying.world.bus.messages(WORKFLOW_STATUS)]
    assert [result.status for result in told] == [WorkflowState.QUEUED, WorkflowState.COMPLETED]
    assert told[-1].conclusion is WorkflowConclusion.SUCCESS


async def test_a_failed_workflow_becomes_an_engineering_task_with_its_log(deploying: Deploying) -> None:
    await deploying.finish_workflow("failure", log="ModuleNotFoundError: fastapi")
    run = await deploying.run()
    assert (run.state, run.reason) == (RunState.FAILED, "workflow_failed")
    (repair,) = [task for task in await deploying.world.api.list_tasks() if task.type is TaskType.ENGINEERING]
    assert repair.parent_task_id == deploying.task.id
    assert "ModuleNotFoundError: fastapi" in repair.description
    (message,) = await deploying.world.bus.messages(ENGINEERING_QUEUE)
    assert message.task_id == repair.id


async def test_repairs_are_limited(world: World) -> None:
    await world.new_server()
    prepared = await prepare(world)
    parent = prepared.task
    for kind in (TaskType.ENGINEERING, TaskType.DEPLOY, TaskType.ENGINEERING, TaskType.DEPLOY):
        row = await world.new_task(prepared.project, kind)
        world.api.tasks[row.id] = row.model_copy(update={"parent_task_id": parent.id})
        parent = world.api.tasks[row.id]
    prepared.task = parent
    await world.announce(parent)
    before = len(await world.api.list_tasks())
    await prepared.finish_workflow("failure")
    assert (await prepared.run()).state is RunState.FAILED
    assert len(await world.api.list_tasks()) == before


async def test_an_application_that_never_answers_fails_the_smoke_check(deploying: Deploying) -> None:
    await deploying.finish_workflow()
    for _ in range(20):
        await deploying.world.tick(5)
    run = await deploying.run()
    assert (run.state, run.reason) == (RunState.FAILED, "smoke_failed")
    assert {(host, port) for host, port, _ in deploying.world.prober.asked} == {("127.0.0.1", 8100)}


async def test_another_commit_than_the_deployed_one_is_not_healthy(deploying: Deploying) -> None:
    deploying.world.serve("f" * 40)
    await deploying.finish_workflow()
    for _ in range(20):
        await deploying.world.tick(5)
    run = await deploying.run()
    assert run.state is RunState.FAILED
    events = await deploying.world.api.list_events(run.id)
    assert any("expected" in (event.payload.message or "") for event in events)


async def deploy_over_a_good_release(world: World) -> tuple[Deploying, str]:
    await world.new_server()
    prepared = await prepare(world)
    good = prepared.sha
    update = ProjectUpdate(deployed_url="http://127.0.0.1:8100/", deployed_sha=good)
    await world.api.update_project(prepared.project.id, update)
    world.github.push("acme/notes", "main", {"app/bad.py": "1/0\n"})
    await world.announce(prepared.task)
    await prepared.finish_workflow()
    for _ in range(14):
        await world.tick(5)
    return prepared, good


async def test_a_failed_smoke_check_rolls_back_to_the_last_good_commit(world: World) -> None:
    prepared, good = await deploy_over_a_good_release(world)
    assert [inputs["sha"] for _, _, inputs in prepared.repository.dispatches] == [prepared.sha, good]
    await prepared.finish_workflow()
    world.serve(good)
    await world.tick(5)
    run = await prepared.run()
    assert (run.state, run.reason) == (RunState.ROLLED_BACK, "smoke_failed")
    project = await world.api.get_project(prepared.project.id)
    assert (project.status, project.deployed_sha) == (ProjectStatus.ACTIVE, good)


async def test_a_roll_back_that_fails_as_well_fails_the_run(world: World) -> None:
    prepared, _ = await deploy_over_a_good_release(world)
    await prepared.finish_workflow("failure")
    run = await prepared.run()
    assert (run.state, run.reason) == (RunState.FAILED, "rollback_failed")


async def test_without_an_active_server_the_run_waits_for_one(world: World) -> None:
    await world.new_server()
    await world.api.update_server("embedded", ServerUpdate(status=ServerStatus.UNREACHABLE))
    prepared = await prepare(world)
    await world.announce(prepared.task)
    run = await prepared.run()
    assert (run.waiting_reason, prepared.repository.dispatches) == (WaitingReason.INFRASTRUCTURE, [])
    await world.api.update_server("embedded", ServerUpdate(status=ServerStatus.ACTIVE))
    await world.tick(16)
    assert (await prepared.run()).wait_kind is WaitKind.WORKFLOW


async def test_a_secret_only_the_user_knows_parks_the_run_until_it_is_given(world: World) -> None:
    await world.new_server()
    prepared = await prepare(world, "# user: from @BotFather\nTELEGRAM_BOT_TOKEN=\n")
    await world.announce(prepared.task)
    run = await prepared.run()
    assert (run.state, run.waiting_reason) == (RunState.RESOLVING_SECRETS, WaitingReason.SECRET)
    events = await world.api.list_events(run.id)
    assert any("TELEGRAM_BOT_TOKEN" in (event.payload.message or "") for event in events)
    await world.announce(prepared.task)
    assert (await prepared.run()).waiting_reason is WaitingReason.SECRET
    await world.api.put_setting(f"secrets:{prepared.project.id}", ["TELEGRAM_BOT_TOKEN"])
    await world.announce(prepared.task)
    assert (await prepared.run()).wait_kind is WaitKind.WORKFLOW


async def test_a_run_github_never_shows_is_dispatched_again_only_after_a_while(deploying: Deploying) -> None:
    hidden = deploying.repository.workflow_runs.pop()
    await deploying.world.tick(30)
    assert len(deploying.repository.dispatches) == 1
    await deploying.world.tick(40)
    assert len(deploying.repository.dispatches) == 2
    deploying.repository.workflow_runs.append(hidden)
    await deploying.finish_workflow()
    assert len(deploying.repository.dispatches) == 2


class ForgetfulGitHub(FakeGitHub):
    """Does what it is asked, but the answer to a dispatch is lost."""

    loses_answers = True

    async def dispatch_workflow(self, full_name: str, workflow: str, ref: str, inputs: Mapping[str, str]) -> None:
        await super().dispatch_workflow(full_name, workflow, ref, inputs)
        if self.loses_answers:
            raise GitHubUnavailable("timeout after success")


async def test_a_dispatch_whose_answer_was_lost_is_found_and_not_repeated() -> None:
    github = ForgetfulGitHub()
    world = World(github=github)
    await world.new_server()
    prepared = await prepare(world)
    await world.announce(prepared.task)
    github.loses_answers = False
    await world.tick(11)
    assert len(prepared.repository.dispatches) == 1
    await prepared.finish_workflow()
    assert (await prepared.run()).state is RunState.VERIFYING


async def test_a_deploy_can_be_cancelled_while_its_workflow_runs(deploying: Deploying) -> None:
    await deploying.world.api.cancel_run((await deploying.run()).id, "stop")
    await deploying.world.tick()
    assert (await deploying.run()).state is RunState.CANCELLED


async def test_a_project_without_a_repository_has_nothing_to_deploy(world: World) -> None:
    project = await world.new_project(is_scaffolded=False)
    task = await world.new_task(project, TaskType.DEPLOY)
    await world.announce(task)
    run = await world.run_of(task)
    assert (run.state, run.reason) == (RunState.FAILED, "nothing_to_deploy")
