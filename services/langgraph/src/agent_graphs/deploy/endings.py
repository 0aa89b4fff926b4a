"""How a deploy ends. Effects come first and the final transition last, so an interrupted ending is done again whole."""

from __future__ import annotations

from langgraph.graph import END

from agent_graphs.drive import Drive
from agent_graphs.routing import Goto, go
from agent_graphs.state import DeployState
from shared.clients.errors import NotFound
from shared.contracts.dto.work import RunFacts, TaskCreate
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.queues.work import EngineeringMessage
from shared.contracts.run_machine import RunEventName
from shared.contracts.topology import ENGINEERING_QUEUE
from shared.contracts.vocabulary import RunEventType, TaskType

_MENDABLE = frozenset({"workflow_failed"})


async def finish(state: DeployState, drive: Drive) -> Goto:
    payload = RunEventPayload(url=state["url"], sha=state["sha"], message="deployed")
    drive.journal.add(RunEventType.ARTIFACT, "deployed", payload)
    facts = RunFacts(deployed_url=state["url"], head_sha=state["sha"])
    await drive.end(RunEventName.SMOKE_PASSED, RunEventName.SMOKE_PASSED.value, facts=facts)
    return go(END)


async def rolled_back(state: DeployState, drive: Drive) -> Goto:
    message = f"{state['smoke_error']}; the release {state['sha'][:12]} runs again"
    await drive.end(RunEventName.ROLLED_BACK, RunEventName.ROLLED_BACK.value, reason="smoke_failed", message=message)
    return go(END)


async def fail(state: DeployState, drive: Drive) -> Goto:
    """End with a typed reason; a red workflow asks for a limited number of engineering tasks that repair it."""
    failure = state["failure"]
    assert failure is not None
    repair = await _repair_task(state, drive) if failure["reason"] in _MENDABLE else None
    event = RunEventName(failure["event"])
    if not drive.allows(event):
        event = RunEventName.RUN_FAILED
    await drive.end(event, "failed", reason=failure["reason"], message=failure["message"])
    if repair is not None:
        await drive.services.bus.publish(ENGINEERING_QUEUE, repair)
    return go(END)


async def cancel(state: DeployState, drive: Drive) -> Goto:
    await drive.end(RunEventName.MARK_CANCELLED, "cancelled", reason=drive.run.reason)
    return go(END)


async def _repair_task(state: DeployState, drive: Drive) -> EngineeringMessage | None:
    """Create the task that repairs the deployment; None when enough of them were tried in a row."""
    failure = state["failure"]
    assert failure is not None
    if await _deploys_before(state, drive) >= drive.services.policy.max_deploy_fixes:
        return None
    run = drive.run
    task = await drive.services.api.create_task(
        TaskCreate(
            project_id=run.project_id,
            type=TaskType.ENGINEERING,
            title="Repair the deployment",
            description=f"Deploying {state['sha']} failed. Find the cause in the repository and mend it.\n\n"
            f"{failure['message']}",
            parent_task_id=run.task_id,
        ),
        idempotency_key=f"fix-of:{run.id}",
    )
    return EngineeringMessage(task_id=task.id, project_id=run.project_id, user_id=run.owner_id)


async def _deploys_before(state: DeployState, drive: Drive) -> int:
    """Count the failed deploys this one descends from: deploy ← repair ← deploy ← task."""
    count, parent = 0, state.get("parent_task_id")
    while parent is not None:
        try:
            task = await drive.services.api.get_task(parent)
        except NotFound:
            break
        count += task.type is TaskType.DEPLOY
        parent = task.parent_task_id
    return count
