"""The pull request: open it for what the remote really has, watch the checks of that sha, merge exactly that sha."""

from __future__ import annotations

from agent_graphs.drive import Drive
from agent_graphs.engineering.acceptance import send_back
from agent_graphs.nodes import WaitNode
from agent_graphs.polling import first_delay, is_over, next_delay
from agent_graphs.prompting import tail
from agent_graphs.routing import Goto, failed, go
from agent_graphs.state import EngineeringState
from agent_graphs.waits import Resumption, Wait
from shared.clients.github.errors import GitHubInvalid, MergeRefused, RateLimitExceeded
from shared.clients.github.models import CheckRun, WorkflowRun
from shared.contracts.dto.work import EvidenceCreate, RunFacts
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.run_machine import RunEventName
from shared.contracts.stages import CodeResult, ReviewResult
from shared.contracts.vocabulary import RunEventType, WaitKind

_LOGS_TOLD = 3
_TITLE_LIMIT = 120


async def open_pr(state: EngineeringState, drive: Drive) -> Goto:
    """Compare the remote branch with the reviewed sha, then create or adopt its pull request."""
    repo, head_sha = state["repo"], state["head_sha"]
    assert repo is not None
    assert head_sha is not None
    remote = await drive.services.github.get_ref(repo, state["branch"])
    if remote != head_sha:
        text = (
            f"Branch {state['branch']} is at {remote} on the remote, not at {head_sha}, which was tested and reviewed."
        )
        return await _send_back(
            state, drive, "remote_head_mismatch", "the remote branch is not what was reviewed", text
        )
    await drive.services.api.add_evidence(drive.run.id, EvidenceCreate(kind="remote_head", sha=head_sha))
    try:
        pull = await drive.services.github.create_pull(
            repo, state["branch"], state["base"], state["title"][:_TITLE_LIMIT], _description(state)
        )
    except GitHubInvalid as error:
        return await _send_back(state, drive, "no_pull_request", "GitHub refuses the pull request", str(error))
    facts = RunFacts(branch=state["branch"], head_sha=head_sha, pr_number=pull.number, pr_url=pull.html_url)
    await drive.transition(RunEventName.PR_OPENED, f"PR_OPENED:{head_sha}", facts=facts)
    payload = RunEventPayload(url=pull.html_url, pr_number=pull.number, sha=head_sha, message="pull request")
    drive.journal.add(RunEventType.ARTIFACT, f"pull:{head_sha}", payload)
    return go(
        "await_ci",
        pr_number=pull.number,
        pr_url=pull.html_url,
        since=drive.after(0),
        delay_seconds=first_delay(drive),
    )


def _until_checked(state: EngineeringState, drive: Drive) -> Wait:
    return Wait(WaitKind.CHECKS, state["head_sha"] or "", drive.after(state["delay_seconds"]))


async def _look_at_checks(state: EngineeringState, drive: Drive, resumed: Resumption) -> Goto:
    """Read the checks of the sha: wait on, send back to coding, or merge."""
    repo, head_sha, policy = state["repo"], state["head_sha"], drive.services.policy
    assert repo is not None
    assert head_sha is not None
    try:
        checks = await drive.services.github.list_check_runs(repo, head_sha)
    except RateLimitExceeded as limit:
        return go("await_ci", delay_seconds=next_delay(state, drive, limit.retry_after_seconds or 0))
    if all(check.is_completed for check in checks):
        if any(not check.is_successful for check in checks) or await _red_runs(drive, repo, head_sha):
            return go("settle_ci")
        if checks:
            return go("merge")
    if not checks and is_over(state, drive, policy.no_checks_deadline_seconds):
        return failed("no_checks", f"no check ever ran for {head_sha}", RunEventName.PR_FAILED.value)
    if is_over(state, drive, policy.checks_deadline_seconds):
        return failed("checks_timeout", f"the checks of {head_sha} did not end in time", RunEventName.PR_FAILED.value)
    return go("await_ci", delay_seconds=next_delay(state, drive))


AWAIT_CI: WaitNode[EngineeringState] = WaitNode(_until_checked, _look_at_checks)


async def settle_ci(state: EngineeringState, drive: Drive) -> Goto:
    """Send red checks back to coding with the ends of their logs."""
    repo, head_sha = state["repo"], state["head_sha"]
    assert repo is not None
    assert head_sha is not None
    checks = await drive.services.github.list_check_runs(repo, head_sha)
    red = [check for check in checks if check.is_completed and not check.is_successful]
    unstarted = [] if red else await _red_runs(drive, repo, head_sha)
    names = ", ".join([*(check.name for check in red), *(run.path for run in unstarted)])
    await drive.services.api.add_evidence(
        drive.run.id, EvidenceCreate(kind="checks", sha=head_sha, conclusion="failure", detail=names)
    )
    return await _send_back(state, drive, "ci_failed", f"CI is red: {names}", await _logs(drive, repo, red, unstarted))


async def merge(state: EngineeringState, drive: Drive) -> Goto:
    """Record the green checks, merge exactly the checked sha, record the merge."""
    repo, head_sha, number = state["repo"], state["head_sha"], state["pr_number"]
    assert repo is not None
    assert head_sha is not None
    assert number is not None
    api = drive.services.api
    await api.add_evidence(drive.run.id, EvidenceCreate(kind="checks", sha=head_sha, conclusion="success"))
    try:
        merged = await drive.services.github.merge_pull(
            repo, number, head_sha, f"{state['title'][:_TITLE_LIMIT]} (#{number})"
        )
    except MergeRefused as error:
        text = f"Rebase on {state['base']} and resolve what conflicts. GitHub says: {error}"
        return await _send_back(state, drive, "merge_refused", f"the branch does not merge into {state['base']}", text)
    await api.add_evidence(drive.run.id, EvidenceCreate(kind="merge", sha=merged.sha, url=state["pr_url"]))
    payload = RunEventPayload(sha=merged.sha, url=state["pr_url"], pr_number=number, message="merged")
    drive.journal.add(RunEventType.ARTIFACT, f"merge:{merged.sha}", payload)
    return go("finish", merge_sha=merged.sha)


async def _send_back(state: EngineeringState, drive: Drive, reason: str, title: str, text: str) -> Goto:
    return await send_back(state, drive, RunEventName.CI_FAILED, reason, {"title": title, "text": text})


async def _red_runs(drive: Drive, repo: str, head_sha: str) -> list[WorkflowRun]:
    """Return the red workflow runs of a commit: one that cannot be read or has no job leaves a run and no check."""
    runs = await drive.services.github.list_runs_of_commit(repo, head_sha)
    return [run for run in runs if run.is_completed and not run.is_successful and run.conclusion != "cancelled"]


async def _logs(drive: Drive, repo: str, red: list[CheckRun], unstarted: list[WorkflowRun]) -> str:
    limit = drive.services.policy.log_limit_chars
    parts = [f"### {run.path}: {run.conclusion}\nThe workflow cannot be read or has no job." for run in unstarted]
    for check in red[:_LOGS_TOLD]:
        log = await drive.services.github.job_log_tail(repo, check.id)
        parts.append(f"### {check.name}: {check.conclusion}\n```\n{tail(log, limit)}\n```")
    return "\n".join(parts)


def _description(state: EngineeringState) -> str:
    parts = [state["description"]]
    code, review = state.get("code"), state.get("review")
    if code is not None:
        parts.append(f"## Change\n{CodeResult.model_validate(code).summary}")
    if review is not None:
        parts.append(f"## Review\n{ReviewResult.model_validate(review).summary}")
    return "\n\n".join(part for part in parts if part)
