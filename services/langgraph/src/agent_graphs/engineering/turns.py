"""One turn of a worker per stage: ask, wait, settle what came back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent_graphs.accounting import note_tokens, record_turn
from agent_graphs.drive import Drive
from agent_graphs.engineering.acceptance import ACCEPTED, FAILED_EVENTS
from agent_graphs.engineering.preparation import DEFAULT_MEMORY_MB, release_worker
from agent_graphs.engineering.verdicts import NO_ANSWER, Accepted, Parked, Retry, judge
from agent_graphs.identity import attempt_token
from agent_graphs.parking import park
from agent_graphs.prompting import clipped, stage_prompt
from agent_graphs.requests import is_repeated, open_request, sent
from agent_graphs.routing import Goto, failed, go
from agent_graphs.state import Dumped, EngineeringState
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.queues.workers import DeveloperWorkerInput, DeveloperWorkerOutput, RepoRef
from shared.contracts.run_machine import RunEventName
from shared.contracts.topology import DEVELOPER_INPUT, DEVELOPER_OUTPUT
from shared.contracts.vocabulary import RunEventType, Stage, WorkerStatus

Node = Callable[[EngineeringState, Drive], Awaitable[Goto]]

# The transition that begins an attempt goes before its message; keys name round and attempt, so a repeat is nothing.
_BEGINNINGS = {
    Stage.PLAN: RunEventName.START_PLANNING,
    Stage.CODE: RunEventName.START_CODING,
    Stage.REVIEW: RunEventName.START_REVIEWING,
}
_ENDED = frozenset({WorkerStatus.COMPLETED, WorkerStatus.FAILED, WorkerStatus.STOPPED})
_NOTE_LIMIT = 800


def request_turn(stage: Stage) -> Node:
    """Return the node that gives the run's worker the stage's message."""

    async def node(state: EngineeringState, drive: Drive) -> Goto:
        worker_id = state.get("worker_id")
        if not worker_id:
            return go("request_worker", stage=stage.value)
        if is_repeated(state.get("request"), stage.value) and await _has_ended(drive, worker_id):
            return go(f"settle_{stage.value}", answer=None)
        await _begin_attempt(stage, state, drive)
        policy = drive.services.policy
        fence = state["fence"] + 1
        deadline = policy.stage_timeout_seconds + policy.answer_grace_seconds
        request = open_request(state, drive, stage.value, deadline, fence=fence)
        message = await _message(stage, state, drive, request)
        await drive.services.bus.publish(DEVELOPER_INPUT.at(worker_id), message)
        return sent(state, request, f"await_{stage.value}", stage=stage.value, fence=request["fence"])

    return node


def settle_turn(stage: Stage) -> Node:
    """Return the node that stores what the turn used and decides what its outcome leads to."""

    async def node(state: EngineeringState, drive: Drive) -> Goto:
        answer = state.get("answer")
        if answer is None:
            return await _retry(stage, state, drive, NO_ANSWER)
        output = DeveloperWorkerOutput.model_validate(answer)
        await record_turn(drive.services.api, drive.run.id, drive.services.policy.agent_type, output)
        note_tokens(drive.journal, output)
        verdict = judge(output, stage)
        if isinstance(verdict, Accepted):
            return await ACCEPTED[stage](state, drive, output, verdict.result)
        if isinstance(verdict, Parked):
            ask = f"request_{stage.value}"
            return await park(state, drive, ask, verdict.reason, verdict.message, until=verdict.until)
        return await _retry(stage, state, drive, verdict)

    return node


async def _begin_attempt(stage: Stage, state: EngineeringState, drive: Drive) -> None:
    event = _BEGINNINGS.get(stage)
    if event is RunEventName.START_PLANNING:
        await drive.transition(event, event.value)
    elif event is not None:
        await drive.transition(event, f"{event}:{state['round']}:{state['tries'][stage.value]}")


async def _message(stage: Stage, state: EngineeringState, drive: Drive, request: Dumped) -> DeveloperWorkerInput:
    repo = state["repo"]
    assert repo is not None
    services, policy = drive.services, drive.services.policy
    diff = ""
    if stage is Stage.REVIEW:
        head = state["head_sha"] or state["branch"]
        diff = clipped(await services.github.compare_diff(repo, state["base"], head), policy.diff_limit_chars)
    return DeveloperWorkerInput(
        request_id=request["id"],
        callback_stream=DEVELOPER_OUTPUT.name,
        task_id=drive.run.task_id,
        project_id=drive.run.project_id,
        run_id=drive.run.id,
        stage=stage,
        prompt=stage_prompt(stage, state, diff=diff),
        repo=RepoRef(
            clone_url=f"{policy.github_web_url.rstrip('/')}/{repo}.git",
            branch=state["branch"],
            base=state["base"],
            token=await services.github.repository_token(repo),
        ),
        timeout=policy.stage_timeout_seconds,
        attempt=state["tries"][stage.value],
        fence=request["fence"],
        attempt_token=attempt_token(policy.attempt_secret, request["id"]),
        previous_attempts=state["notes"],
    )


async def _has_ended(drive: Drive, worker_id: str) -> bool:
    """Tell whether the manager reports the worker's end: a positive observation, never its absence."""
    workers = await drive.services.api.list_workers()
    return any(worker.id == worker_id and worker.status in _ENDED for worker in workers)


async def _retry(stage: Stage, state: EngineeringState, drive: Drive, retry: Retry) -> Goto:
    policy = drive.services.policy
    attempt = state["tries"][stage.value]
    limit = policy.max_code_attempts if stage is Stage.CODE else policy.max_stage_attempts
    note = f"{stage.value} attempt {attempt} of {limit} failed ({retry.reason}): {retry.message[:_NOTE_LIMIT]}"
    request = state["request"]
    assert request is not None
    drive.journal.add(
        RunEventType.AGENT_MESSAGE,
        f"retry:{request['id']}",
        RunEventPayload(stage=stage.value, attempt=attempt, reason=retry.reason, message=note),
    )
    update: Dumped = {"notes": [*state["notes"], note]}
    if retry.is_worker_gone:
        await release_worker(state, drive)
        update["worker_id"] = None
    if retry.needs_memory:
        update["memory_mb"] = 2 * DEFAULT_MEMORY_MB
    if attempt >= limit:
        command = failed(retry.reason, note, FAILED_EVENTS[stage].value)
        return go("fail", **{**update, **(command.update or {})})
    return go(f"request_{stage.value}", **update, tries={**state["tries"], stage.value: attempt + 1})
