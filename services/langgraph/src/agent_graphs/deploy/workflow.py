"""The deploy workflow: dispatched once per claimed row, found again by its correlation, watched to its end."""

from __future__ import annotations

from agent_graphs.drive import Drive
from agent_graphs.identity import dispatch_correlation
from agent_graphs.nodes import WaitNode
from agent_graphs.polling import first_delay, is_over, next_delay
from agent_graphs.prompting import tail
from agent_graphs.routing import Goto, go
from agent_graphs.state import DeployState
from agent_graphs.waits import Resumption, Wait
from shared.clients.github.errors import RateLimitExceeded
from shared.clients.github.models import WorkflowRun
from shared.contracts.dto.infrastructure import DeploymentClaim, DeploymentUpdate
from shared.contracts.queues.events import (
    WorkflowConclusion,
    WorkflowState,
    WorkflowStatusEvent,
    WorkflowStatusResult,
)
from shared.contracts.run_machine import RunEventName
from shared.contracts.topology import WORKFLOW_STATUS
from shared.contracts.vocabulary import WaitKind
from shared.logging import get_logger

WORKFLOW = "main.yml"
# Written to the claimed row before GitHub is called: who finds it looks for the run before dispatching again.
DISPATCHING = "dispatching"
DEPLOY_ATTEMPT, ROLLBACK_ATTEMPT = 1, 2
_MAX_DISPATCHES = 3
_STATES = {state.value: state for state in WorkflowState}
_CONCLUSIONS = {conclusion.value: conclusion for conclusion in WorkflowConclusion}

_log = get_logger(__name__)


async def trigger_workflow(state: DeployState, drive: Drive) -> Goto:
    """Claim the dispatch as a row, then call GitHub, unless the run exists already."""
    services, repo = drive.services, state["repo"]
    assert repo is not None
    attempt = state["attempt"]
    claimed = await services.api.claim_deployment(
        DeploymentClaim(
            run_id=drive.run.id,
            project_id=drive.run.project_id,
            correlation=dispatch_correlation(drive.run.id, attempt),
            sha=state["sha"],
            attempt=attempt,
        )
    )
    waiting = {
        "sha": claimed.sha,
        "correlation": claimed.correlation,
        "deployment_id": claimed.id,
        "since": drive.after(0),
        "delay_seconds": first_delay(drive),
        "workflow_status": None,
    }
    run_id = claimed.workflow_run_id
    if run_id is None and claimed.conclusion is not None:
        found = await _find(drive, repo, claimed.correlation)
        run_id = found.id if found is not None else None
    is_again = state["dispatches"] > 0
    if run_id is None and (claimed.conclusion is None or is_again):
        await services.api.update_deployment(claimed.id, DeploymentUpdate(conclusion=DISPATCHING))
        inputs = {
            "app": repo.partition("/")[2],
            "sha": claimed.sha,
            "port": str(state["port"]),
            "correlation": claimed.correlation,
        }
        await services.github.dispatch_workflow(repo, WORKFLOW, state["base"], inputs)
    return go("await_workflow", **waiting, workflow_run_id=run_id, dispatches=state["dispatches"] + 1)


def _until_done(state: DeployState, drive: Drive) -> Wait:
    return Wait(WaitKind.WORKFLOW, state["correlation"], drive.after(state["delay_seconds"]))


async def _look_at_run(state: DeployState, drive: Drive, resumed: Resumption) -> Goto:
    repo, policy = state["repo"], drive.services.policy
    assert repo is not None
    try:
        run = await _current(state, drive, repo)
    except RateLimitExceeded as limit:
        return go("await_workflow", delay_seconds=next_delay(state, drive, limit.retry_after_seconds or 0))
    if run is None:
        if not is_over(state, drive, policy.workflow_appears_seconds):
            return go("await_workflow", delay_seconds=next_delay(state, drive))
        if state["dispatches"] < _MAX_DISPATCHES:
            return go("trigger_workflow")
        return _failed(state, "workflow_missing", "GitHub never started the deploy workflow")
    if run.status != state["workflow_status"]:
        await _tell(drive, run)
    if run.is_completed:
        return go("settle_workflow", workflow_run_id=run.id, workflow_status=run.status)
    if is_over(state, drive, policy.workflow_deadline_seconds):
        return _failed(state, "workflow_timeout", f"the deploy workflow did not end in time: {run.html_url}")
    return go(
        "await_workflow",
        workflow_run_id=run.id,
        workflow_status=run.status,
        delay_seconds=next_delay(state, drive),
    )


AWAIT_WORKFLOW: WaitNode[DeployState] = WaitNode(_until_done, _look_at_run)


async def settle_workflow(state: DeployState, drive: Drive) -> Goto:
    """Store how the workflow ended; a green one is not yet an application that answers."""
    services, repo, run_id = drive.services, state["repo"], state["workflow_run_id"]
    assert repo is not None
    assert run_id is not None
    run = await services.github.get_workflow_run(repo, run_id)
    await services.api.update_deployment(
        state["deployment_id"],
        DeploymentUpdate(workflow_run_id=run.id, conclusion=run.conclusion or "failure", url=run.html_url),
    )
    if not run.is_successful:
        log = tail(await services.github.workflow_log_tail(repo, run.id), services.policy.log_limit_chars)
        return _failed(state, "workflow_failed", f"the deploy workflow ended with {run.conclusion}\n{log}")
    if state["attempt"] == DEPLOY_ATTEMPT:
        await drive.transition(RunEventName.WORKFLOW_SUCCEEDED, "WORKFLOW_SUCCEEDED")
    return go("verify", since=drive.after(0), delay_seconds=first_delay(drive))


def _failed(state: DeployState, reason: str, message: str) -> Goto:
    """Fail the deploy; a failed roll back is a failed smoke check that nothing mended."""
    if state["attempt"] == ROLLBACK_ATTEMPT:
        text = f"{state['smoke_error']}; rolling back failed as well: {message}"
        return go("fail", failure={"event": "SMOKE_FAILED", "reason": "rollback_failed", "message": text})
    return go("fail", failure={"event": "WORKFLOW_FAILED", "reason": reason, "message": message})


async def _current(state: DeployState, drive: Drive, repo: str) -> WorkflowRun | None:
    run_id = state["workflow_run_id"]
    if run_id is not None:
        return await drive.services.github.get_workflow_run(repo, run_id)
    return await _find(drive, repo, state["correlation"])


async def _find(drive: Drive, repo: str, correlation: str) -> WorkflowRun | None:
    """Return the oldest dispatched run whose title carries the correlation."""
    runs = await drive.services.github.list_workflow_runs(repo, WORKFLOW, event="workflow_dispatch")
    own = [run for run in runs if correlation in run.display_title]
    return min(own, key=lambda run: run.id, default=None)


async def _tell(drive: Drive, run: WorkflowRun) -> None:
    status = _STATES.get(run.status or "", WorkflowState.QUEUED)
    conclusion = _CONCLUSIONS.get(run.conclusion, WorkflowConclusion.FAILURE) if run.conclusion else None
    event = WorkflowStatusEvent(
        task_id=drive.run.task_id,
        project_id=drive.run.project_id,
        user_id=drive.run.owner_id,
        result=WorkflowStatusResult(run_id=run.id, status=status, conclusion=conclusion, html_url=run.html_url),
    )
    await drive.services.bus.publish(WORKFLOW_STATUS, event)
    _log.info("workflow_status", run=run.id, status=run.status, conclusion=run.conclusion)
