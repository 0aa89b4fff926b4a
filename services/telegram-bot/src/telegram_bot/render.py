"""Turns run events into what a person reads: one progress text per run, and the few messages beside it."""

from __future__ import annotations

from collections.abc import Sequence

from shared.contracts.dto.work import ProjectDTO, RunDTO, RunEventDTO
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.run_machine import RunEventName, RunState
from shared.contracts.vocabulary import RunEventType, TaskType, WaitingReason
from telegram_bot.text import shorten

LINE = 160

_STEPS: dict[RunEventName, str] = {
    RunEventName.START_PLANNING: "planning",
    RunEventName.PLAN_SUCCEEDED: "plan ready",
    RunEventName.START_CODING: "writing code",
    RunEventName.CODE_SUCCEEDED: "code written, tests are green",
    RunEventName.START_REVIEWING: "review",
    RunEventName.REVIEW_APPROVED: "review approved",
    RunEventName.REVIEW_REJECTED: "review asks for changes",
    RunEventName.PR_OPENED: "pull request opened, checks run",
    RunEventName.CI_FAILED: "checks failed, back to the code",
    RunEventName.MARK_COMPLETED: "merged",
    RunEventName.START_ANALYSIS: "looking at the configuration",
    RunEventName.ENV_ANALYZED: "configuration understood",
    RunEventName.SECRETS_RESOLVED: "secrets are in place, deploying",
    RunEventName.WORKFLOW_SUCCEEDED: "deployed, checking the address",
    RunEventName.SMOKE_PASSED: "it answers",
}

_WAITING: dict[WaitingReason, str] = {
    WaitingReason.SECRET: "a secret is needed",
    WaitingReason.BUDGET: "the budget is used up",
    WaitingReason.QUOTA: "the model's limit is reached; it goes on by itself",
    WaitingReason.HUMAN: "somebody has to mend something first",
    WaitingReason.RESOURCES: "there is no free worker; it goes on by itself",
    WaitingReason.INFRASTRUCTURE: "the infrastructure does not answer; it goes on by itself",
    WaitingReason.PROJECT_BUSY: "another change of this project comes first",
}


def progress(project: ProjectDTO, run: RunDTO, events: Sequence[RunEventDTO]) -> str:
    """Return the text of a run's progress message."""
    verb = "building" if run.kind is TaskType.ENGINEERING else "deploying"
    lines = [f"{project.name}: {verb}"]
    steps = [line for event in events if (line := _step(event)) is not None]
    is_over = run.finished_at is not None
    for number, step in enumerate(steps, 1):
        is_last = number == len(steps)
        lines.append(("▸ " if is_last and not is_over else "✓ ") + step)
    if is_over and run.state is not RunState.COMPLETED:
        lines.append(f"✗ {run.state.lower().replace('_', ' ')}: {shorten(run.reason or 'no reason given', LINE)}")
    return "\n".join(lines)


def _step(event: RunEventDTO) -> str | None:
    payload = event.payload
    if event.type is RunEventType.STATE_CHANGED and payload.event in _STEPS:
        detail = f" — {shorten(payload.message, LINE)}" if payload.message else ""
        attempt = f" (attempt {payload.attempt})" if payload.attempt and payload.attempt > 1 else ""
        return _STEPS[payload.event] + attempt + detail
    if event.type is RunEventType.AGENT_MESSAGE and payload.message:
        return f"{payload.stage or 'agent'}: {shorten(payload.message, LINE)}"
    if event.type is RunEventType.WAITING:
        return "waiting: " + waiting_text(payload)
    return None


def waiting_text(payload: RunEventPayload) -> str:
    """Return why a run waits, in words."""
    reason = payload.reason or ""
    words = _WAITING.get(WaitingReason(reason), reason) if reason in set(WaitingReason) else reason
    return f"{words} ({shorten(payload.message, LINE)})" if payload.message else words


def final(project: ProjectDTO, run: RunDTO) -> str | None:
    """Return the message that ends a run in the chat; merged work says nothing, its deployment follows."""
    reason = shorten(run.reason or "no reason given", 600)
    if run.state is RunState.COMPLETED:
        if run.kind is TaskType.ENGINEERING:
            return None
        return f"{project.name} is running: {run.facts.deployed_url}"
    if run.state is RunState.CANCELLED:
        return f"The work on {project.name} was cancelled."
    if run.state is RunState.ROLLED_BACK:
        return f"The new version of {project.name} did not work ({reason}); the last good one runs again."
    what = "building" if run.kind is TaskType.ENGINEERING else "deploying"
    return f"Sorry, {what} {project.name} failed: {reason}"
