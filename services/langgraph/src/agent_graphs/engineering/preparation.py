"""Before the first turn: load the task, see that there is a repository, get a worker."""

from __future__ import annotations

from pydantic import TypeAdapter

from agent_graphs.drive import Drive
from agent_graphs.engineering.verdicts import Refused, judge_refusal
from agent_graphs.identity import branch_name
from agent_graphs.parking import PARKED, park
from agent_graphs.prompting import worker_instructions
from agent_graphs.requests import open_request, sent
from agent_graphs.routing import Goto, failed, go
from agent_graphs.state import EngineeringState
from shared.clients.errors import NotFound
from shared.contracts.queues.work import ScaffolderMessage, ScaffolderResult
from shared.contracts.queues.workers import (
    CreateWorkerCommand,
    CreateWorkerResponse,
    DeleteWorkerCommand,
    WorkerConfig,
    WorkerContext,
    WorkerLimits,
)
from shared.contracts.topology import SCAFFOLDER_QUEUE, SCAFFOLDER_RESULTS, WORKER_COMMANDS, WORKER_RESPONSES_DEVELOPER
from shared.contracts.vocabulary import ProjectModule, ProjectStatus, ResultStatus, Stage, WorkerCapability, WorkerType
from shared.redis.bus import Bus

DEFAULT_MEMORY_MB = WorkerLimits().memory_mb
_RESPONSE: TypeAdapter[CreateWorkerResponse] = TypeAdapter(CreateWorkerResponse)


async def load(state: EngineeringState, drive: Drive) -> Goto:
    """Read what is asked from its rows: a message is only a hint."""
    api = drive.services.api
    try:
        task = await api.get_task(drive.run.task_id)
        project = await api.get_project(drive.run.project_id)
    except NotFound as error:
        return failed("project_deleted", str(error))
    if project.status is ProjectStatus.ARCHIVED:
        return failed("project_deleted", f"project {project.name} is archived")
    return go(
        "request_worker" if project.repo_full_name else "request_scaffold",
        project_name=project.name,
        modules=[module.value for module in project.modules],
        files=project.files,
        repo=project.repo_full_name,
        base=project.default_branch,
        title=task.title,
        description=task.description,
        branch=branch_name(drive.run.id),
        stage=Stage.PLAN.value,
        tries={Stage.PLAN.value: 1, "scaffold": 1, "worker": 1},
        round=0,
        fence=0,
        notes=[],
    )


async def request_scaffold(state: EngineeringState, drive: Drive) -> Goto:
    request = open_request(state, drive, "scaffold", drive.services.policy.scaffold_deadline_seconds)
    message = ScaffolderMessage(
        request_id=request["id"],
        callback_stream=SCAFFOLDER_RESULTS.name,
        project_id=drive.run.project_id,
        project_name=state["project_name"],
        modules=[ProjectModule(module) for module in state["modules"]],
    )
    await drive.services.bus.publish(SCAFFOLDER_QUEUE, message)
    return sent(state, request, "await_scaffold")


async def settle_scaffold(state: EngineeringState, drive: Drive) -> Goto:
    """Go on when the project's row names a repository; the result alone is not enough."""
    answer = state.get("answer")
    result = ScaffolderResult.model_validate(answer) if answer is not None else None
    project = await drive.services.api.get_project(drive.run.project_id)
    if project.repo_full_name and (result is None or result.status is ResultStatus.SUCCESS):
        return go("request_worker", repo=project.repo_full_name, base=project.default_branch, files=project.files)
    error = (result.error if result is not None else "the scaffolder did not answer in time") or "no repository"
    tries = state["tries"]["scaffold"]
    if tries >= drive.services.policy.max_stage_attempts:
        return failed("scaffolding_failed", error)
    return go("request_scaffold", tries={**state["tries"], "scaffold": tries + 1})


async def request_worker(state: EngineeringState, drive: Drive) -> Goto:
    """Ask for the worker that takes all stage messages of this run."""
    request = open_request(state, drive, "worker", drive.services.policy.worker_deadline_seconds)
    run = drive.run
    command = CreateWorkerCommand(
        request_id=request["id"],
        callback_stream=WORKER_RESPONSES_DEVELOPER.name,
        config=WorkerConfig(
            name=f"developer-{run.id[:12]}-{request['number']}",
            worker_type=WorkerType.DEVELOPER,
            agent_type=drive.services.policy.agent_type,
            instructions=worker_instructions(),
            capabilities=[WorkerCapability.GIT, WorkerCapability.CURL],
            pooled=False,
            limits=WorkerLimits(memory_mb=state.get("memory_mb", DEFAULT_MEMORY_MB)),
        ),
        context=WorkerContext(user_id=run.owner_id, task_id=run.task_id, project_id=run.project_id, run_id=run.id),
    )
    await drive.services.bus.publish(WORKER_COMMANDS, command)
    return sent(state, request, "await_worker")


async def settle_worker(state: EngineeringState, drive: Drive) -> Goto:
    answer = state.get("answer")
    if answer is None:
        return _no_worker_came(state, drive)
    response = _RESPONSE.validate_python(answer)
    if response.success and response.worker_id:
        numbers = {**state["numbers"], PARKED: 0}
        return go(f"request_{state['stage']}", worker_id=response.worker_id, numbers=numbers)
    verdict = judge_refusal(response)
    if isinstance(verdict, Refused):
        return failed(verdict.reason, verdict.message)
    return await park(state, drive, "request_worker", verdict.reason, verdict.message)


def _no_worker_came(state: EngineeringState, drive: Drive) -> Goto:
    tries = state["tries"]["worker"]
    if tries >= drive.services.policy.max_stage_attempts:
        return failed("worker_unavailable", "no worker could be created in time")
    return go("request_worker", tries={**state["tries"], "worker": tries + 1})


async def release_worker(state: EngineeringState, drive: Drive) -> None:
    """Ask for the end of the run's worker; deleting one that is gone is success."""
    worker_id = state.get("worker_id")
    if worker_id:
        await delete_worker(drive.services.bus, drive.run.id, worker_id)


async def delete_worker(bus: Bus, run_id: str, worker_id: str) -> None:
    command = DeleteWorkerCommand(
        request_id=f"{run_id}:delete:{worker_id}",
        callback_stream=WORKER_RESPONSES_DEVELOPER.name,
        worker_id=worker_id,
    )
    await bus.publish(WORKER_COMMANDS, command)
