"""Does the deployed application answer, and is it the right commit? Otherwise the last good one comes back."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import from_json

from agent_graphs.deploy.workflow import DEPLOY_ATTEMPT, ROLLBACK_ATTEMPT
from agent_graphs.drive import Drive
from agent_graphs.nodes import WaitNode
from agent_graphs.polling import is_over, next_delay
from agent_graphs.routing import Goto, go
from agent_graphs.state import DeployState
from agent_graphs.waits import Resumption, Wait
from shared.contracts.dto.work import EvidenceCreate
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.vocabulary import RunEventType, WaitKind

_BODY_TOLD = 200


async def verify(state: DeployState, drive: Drive) -> Goto:
    """GET /health and /version on exactly the allocated host and port."""
    error = await _check(state, drive)
    if error is None:
        evidence = EvidenceCreate(kind="smoke", sha=state["sha"], conclusion="success", url=state["url"])
        await drive.services.api.add_evidence(drive.run.id, evidence)
        return go("finish" if state["attempt"] == DEPLOY_ATTEMPT else "rolled_back")
    if not is_over(state, drive, drive.services.policy.smoke_deadline_seconds):
        return go("await_smoke", smoke_error=error)
    return await _give_up(state, drive, error)


def _until_tried_again(state: DeployState, drive: Drive) -> Wait:
    return Wait(WaitKind.TIMER, f"{state['correlation']}:smoke", drive.after(state["delay_seconds"]))


async def _try_again(state: DeployState, drive: Drive, resumed: Resumption) -> Goto:
    error = await _check(state, drive)
    if error is None or is_over(state, drive, drive.services.policy.smoke_deadline_seconds):
        return go("verify")
    return go("await_smoke", smoke_error=error, delay_seconds=next_delay(state, drive))


AWAIT_SMOKE: WaitNode[DeployState] = WaitNode(_until_tried_again, _try_again)


async def _give_up(state: DeployState, drive: Drive, error: str) -> Goto:
    if state["attempt"] == ROLLBACK_ATTEMPT:
        text = f"{state['smoke_error']}; the release before does not answer either: {error}"
        return go("fail", failure={"event": "SMOKE_FAILED", "reason": "rollback_failed", "message": text})
    await drive.services.api.add_evidence(
        drive.run.id, EvidenceCreate(kind="smoke", sha=state["sha"], conclusion="failure", detail=error)
    )
    good_sha = state.get("good_sha")
    if not good_sha or good_sha == state["sha"]:
        return go("fail", failure={"event": "SMOKE_FAILED", "reason": "smoke_failed", "message": error})
    payload = RunEventPayload(reason="smoke_failed", sha=good_sha, message=f"{error}; rolling back to {good_sha[:12]}")
    drive.journal.add(RunEventType.AGENT_MESSAGE, "rolling-back", payload)
    return go("trigger_workflow", attempt=ROLLBACK_ATTEMPT, sha=good_sha, dispatches=0, smoke_error=error)


async def _check(state: DeployState, drive: Drive) -> str | None:
    """Return what is wrong, or None."""
    prober, host, port = drive.services.prober, state["host"], state["port"]
    health = await prober.get(host, port, "/health")
    if health.status != 200:
        return f"/health answers {health.status or health.error}: {health.body[:_BODY_TOLD]}".rstrip(": ")
    version = await prober.get(host, port, "/version")
    if version.status != 200:
        return f"/version answers {version.status or version.error}"
    running = _sha_in(version.body)
    return None if running == state["sha"] else f"/version says {running}, expected {state['sha']}"


def _sha_in(body: str) -> str | None:
    try:
        data = from_json(body)
    except (ValueError, ValidationError):
        return None
    sha = data.get("sha") if isinstance(data, dict) else None
    return sha if isinstance(sha, str) else None
