"""What follows from a transition."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.contracts.dto.work import EvidenceDTO
from shared.contracts.run_machine import RunEventName, RunState
from shared.contracts.run_policy import (
    ProjectFacts,
    code_attempts_after,
    missing_evidence,
    project_status_in,
    review_rounds_after,
    task_status_in,
)
from shared.contracts.vocabulary import ProjectStatus, TaskStatus, TaskType

NEW, DEPLOYED = ProjectFacts(None, None), ProjectFacts("http://host/", "o/r")
E, S = RunEventName, RunState


def seen(kind: str, sha: str | None = None, conclusion: str | None = None) -> EvidenceDTO:
    return EvidenceDTO(run_id="r", kind=kind, sha=sha, conclusion=conclusion, created_at=datetime.now(UTC))


@pytest.mark.parametrize(
    ("kind", "state", "facts", "status"),
    [
        (TaskType.ENGINEERING, S.CODING, NEW, ProjectStatus.DEVELOPING),
        (TaskType.ENGINEERING, S.PR_OPEN, NEW, ProjectStatus.TESTING),
        (TaskType.ENGINEERING, S.COMPLETED, NEW, None),
        (TaskType.ENGINEERING, S.FAILED, NEW, ProjectStatus.FAILED),
        (TaskType.ENGINEERING, S.FAILED, DEPLOYED, ProjectStatus.ACTIVE),
        (TaskType.ENGINEERING, S.CANCELLED, NEW, ProjectStatus.DRAFT),
        (TaskType.ENGINEERING, S.CANCELLED, ProjectFacts(None, "o/r"), ProjectStatus.SCAFFOLDED),
        (TaskType.DEPLOY, S.ANALYZING, NEW, ProjectStatus.DEPLOYING),
        (TaskType.DEPLOY, S.COMPLETED, NEW, ProjectStatus.ACTIVE),
        (TaskType.DEPLOY, S.ROLLED_BACK, DEPLOYED, ProjectStatus.ACTIVE),
    ],
)
def test_the_project_follows(
    kind: TaskType, state: RunState, facts: ProjectFacts, status: ProjectStatus | None
) -> None:
    assert project_status_in(kind, state, facts) is status


def test_the_task_follows() -> None:
    assert task_status_in(S.PLANNING) is TaskStatus.RUNNING
    assert task_status_in(S.ROLLED_BACK) is TaskStatus.FAILED
    assert task_status_in(S.CANCELLED) is TaskStatus.CANCELLED


def test_attempts_and_rejections_are_counted() -> None:
    assert code_attempts_after(E.START_CODING, 1) == 2
    assert code_attempts_after(E.CODE_SUCCEEDED, 1) == 1
    assert review_rounds_after(E.REVIEW_REJECTED, 0) == review_rounds_after(E.CI_FAILED, 0) == 1


def test_the_checks_must_be_of_the_newest_head() -> None:
    rows = [
        seen("remote_head", "a"),
        seen("checks", "a", "success"),
        seen("merge", "m"),
    ]
    assert missing_evidence(E.MARK_COMPLETED, rows) == []
    assert missing_evidence(E.MARK_COMPLETED, [*rows, seen("remote_head", "b")]) == ["checks"]
    assert missing_evidence(E.MARK_COMPLETED, []) == ["remote_head", "checks", "merge"]


def test_a_failed_smoke_check_proves_nothing() -> None:
    assert missing_evidence(E.SMOKE_PASSED, [seen("smoke", "a", "failure")]) == ["smoke"]
    assert missing_evidence(E.SMOKE_PASSED, [seen("smoke", "a", "success")]) == []
