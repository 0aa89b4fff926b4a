"""What agents hand back at each stage, parsed from `<result>` and validated by stage."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, JsonValue

from shared.contracts.base import Contract
from shared.contracts.vocabulary import Stage


class ChangeType(StrEnum):
    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"


class FileChange(Contract):
    path: str = Field(min_length=1)
    change_type: ChangeType = ChangeType.MODIFIED
    summary: str | None = None


class PlanResult(Contract):
    summary: str = Field(min_length=1)
    steps: list[str] = Field(min_length=1)
    files: list[str] = Field(default_factory=list)
    risks: list[str] = Field(default_factory=list)


class CodeResult(Contract):
    summary: str = Field(min_length=1)
    commit_message: str = Field(min_length=1)
    file_changes: list[FileChange] = Field(default_factory=list)
    commit_sha: str | None = None


class TestCounts(Contract):
    __test__ = False

    passed: int = Field(default=0, ge=0)
    failed: int = Field(default=0, ge=0)
    errors: int = Field(default=0, ge=0)
    skipped: int = Field(default=0, ge=0)


class TestResult(Contract):
    """The outcome of the project's own tests, run by the platform and not by the agent."""

    __test__ = False

    passed: bool
    command: str
    counts: TestCounts | None = None
    failures: list[str] = Field(default_factory=list)
    log_tail: str = ""


class Severity(StrEnum):
    INFO = "info"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


class Finding(Contract):
    severity: Severity = Severity.MAJOR
    file: str | None = None
    line: int | None = None
    message: str = Field(min_length=1)


class ReviewResult(Contract):
    approved: bool
    summary: str = Field(min_length=1)
    findings: list[Finding] = Field(default_factory=list)


class AgentVerdict(Contract):
    """What the agent says of its own work; never evidence."""

    status: Literal["success", "failure", "in_progress"] = "success"
    summary: str = ""
    data: dict[str, JsonValue] = Field(default_factory=dict)


class Usage(Contract):
    """Tokens and money of one agent turn, summed over every model request of the turn."""

    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    cache_read_tokens: int = Field(default=0, ge=0)
    cache_write_tokens: int = Field(default=0, ge=0)
    cost_usd: float = Field(default=0.0, ge=0)
    turns: int = Field(default=0, ge=0)

    def plus(self, other: Usage) -> Usage:
        """Return the sum of two usages."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            cost_usd=self.cost_usd + other.cost_usd,
            turns=self.turns + other.turns,
        )


StageResult = PlanResult | CodeResult | TestResult | ReviewResult

STAGE_RESULTS: dict[Stage, type[PlanResult | CodeResult | TestResult | ReviewResult]] = {
    Stage.PLAN: PlanResult,
    Stage.CODE: CodeResult,
    Stage.TEST: TestResult,
    Stage.REVIEW: ReviewResult,
}
