"""What follows from a run's transition: counters, evidence wanted, statuses of its task and project.

Pure functions, used by the api inside its transaction and by the in-memory fake; nothing here performs anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.dto.work import EvidenceDTO
from shared.contracts.run_machine import RunEventName, RunState
from shared.contracts.vocabulary import ProjectStatus, TaskStatus, TaskType

_ENGINEERING_STATUS = {
    RunState.PLANNING: ProjectStatus.DEVELOPING,
    RunState.CODING: ProjectStatus.DEVELOPING,
    RunState.REVIEWING: ProjectStatus.TESTING,
    RunState.PR_OPEN: ProjectStatus.TESTING,
}
_TASK_STATUS = {
    RunState.COMPLETED: TaskStatus.COMPLETED,
    RunState.FAILED: TaskStatus.FAILED,
    RunState.ROLLED_BACK: TaskStatus.FAILED,
    RunState.CANCELLED: TaskStatus.CANCELLED,
}
_REJECTIONS = frozenset({RunEventName.REVIEW_REJECTED, RunEventName.CI_FAILED})


@dataclass(frozen=True, slots=True)
class ProjectFacts:
    """What of a project decides its status when a run of it ends badly."""

    deployed_url: str | None
    repo_full_name: str | None

    @property
    def resting_status(self) -> ProjectStatus | None:
        return ProjectStatus.ACTIVE if self.deployed_url else None


def task_status_in(state: RunState) -> TaskStatus:
    """Return the status of a task whose run is in this state (a run that has begun)."""
    return _TASK_STATUS.get(state, TaskStatus.RUNNING)


def project_status_in(kind: TaskType, state: RunState, project: ProjectFacts) -> ProjectStatus | None:
    """Return the project's status when a run of it enters this state; None leaves it as it is."""
    if state in (RunState.FAILED, RunState.ROLLED_BACK):
        return project.resting_status or ProjectStatus.FAILED
    if state is RunState.CANCELLED:
        fallback = ProjectStatus.SCAFFOLDED if project.repo_full_name else ProjectStatus.DRAFT
        return project.resting_status or fallback
    if kind is TaskType.ENGINEERING:
        return _ENGINEERING_STATUS.get(state)
    return ProjectStatus.ACTIVE if state is RunState.COMPLETED else ProjectStatus.DEPLOYING


def code_attempts_after(event: RunEventName, attempts: int) -> int:
    """Return the number of coding attempts begun."""
    return attempts + (event is RunEventName.START_CODING)


def review_rounds_after(event: RunEventName, rounds: int) -> int:
    """Return the number of rejections, by review or by CI."""
    return rounds + (event in _REJECTIONS)


def missing_evidence(event: RunEventName, rows: Sequence[EvidenceDTO]) -> list[str]:
    """Return what the platform has not seen for itself yet but must have for this event; rows are oldest first."""
    if event is RunEventName.SMOKE_PASSED:
        return [] if any(row.kind == "smoke" and row.conclusion in (None, "success") for row in rows) else ["smoke"]
    if event is not RunEventName.MARK_COMPLETED:
        return []
    head = next((row.sha for row in reversed(rows) if row.kind == "remote_head" and row.sha), None)
    missing = [] if head else ["remote_head"]
    if not any(row.kind == "checks" and row.conclusion == "success" and row.sha == head for row in rows):
        missing.append("checks")
    if not any(row.kind == "merge" and row.sha for row in rows):
        missing.append("merge")
    return missing
