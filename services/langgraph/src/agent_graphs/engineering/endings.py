"""How a run ends. Effects come first and the final transition last, so an interrupted ending is done again whole."""

from __future__ import annotations

from langgraph.graph import END

from agent_graphs.drive import Drive
from agent_graphs.engineering.preparation import release_worker
from agent_graphs.routing import Goto, go
from agent_graphs.state import EngineeringState
from shared.clients.github.errors import GitHubError
from shared.contracts.dto.work import RunFacts, TaskCreate
from shared.contracts.queues.work import DeployMessage
from shared.contracts.run_machine import RunEventName
from shared.contracts.topology import DEPLOY_QUEUE
from shared.contracts.vocabulary import TaskType
from shared.logging import get_logger
from shared.runtime.errors import Category

_TITLE_LIMIT = 200


_log = get_logger(__name__)


async def finish(state: EngineeringState, drive: Drive) -> Goto:
    """Complete the run and hand its merge on to a deploy task.

    The deploy's message comes after MARK_COMPLETED; should it be lost, the task's row is found by the reconciler.
    """
    run, services = drive.run, drive.services
    deploy = await services.api.create_task(
        TaskCreate(
            project_id=run.project_id,
            type=TaskType.DEPLOY,
            title=f"Deploy: {state['title']}"[:_TITLE_LIMIT],
            parent_task_id=run.task_id,
        ),
        idempotency_key=f"deploy-of:{run.id}",
    )
    await release_worker(state, drive)
    await _delete_branch(state, drive)
    await drive.end(
        RunEventName.MARK_COMPLETED, RunEventName.MARK_COMPLETED.value, facts=RunFacts(merge_sha=state["merge_sha"])
    )
    message = DeployMessage(task_id=deploy.id, project_id=run.project_id, user_id=run.owner_id)
    await services.bus.publish(DEPLOY_QUEUE, message)
    return go(END)


async def fail(state: EngineeringState, drive: Drive) -> Goto:
    """End the run with its typed reason; branch and pull request stay for whoever looks into it."""
    failure = state["failure"]
    assert failure is not None
    await release_worker(state, drive)
    event = RunEventName(failure["event"])
    if not drive.allows(event):
        event = RunEventName.RUN_FAILED
    await drive.end(event, "failed", reason=failure["reason"], message=failure["message"])
    return go(END)


async def cancel(state: EngineeringState, drive: Drive) -> Goto:
    """Stop the worker, close the branch and with it its pull request."""
    await release_worker(state, drive)
    await _delete_branch(state, drive)
    await drive.end(RunEventName.MARK_CANCELLED, "cancelled", reason=drive.run.reason)
    return go(END)


async def _delete_branch(state: EngineeringState, drive: Drive) -> None:
    """Delete the run's branch; a GitHub that refuses does not keep the run from ending."""
    repo = state.get("repo")
    if not repo:
        return
    try:
        await drive.services.github.delete_branch(repo, state["branch"])
    except GitHubError as error:
        if error.category in (Category.TRANSIENT, Category.UPSTREAM):
            raise
        _log.warning("branch_not_deleted", repo=repo, branch=state["branch"], error=str(error))
