"""Judges what came back from a worker: the outcome table as pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from shared.contracts.queues.workers import (
    DeveloperWorkerOutput,
    FailureCause,
    RefusalCode,
    WorkerResponse,
)
from shared.contracts.stages import STAGE_RESULTS, StageResult
from shared.contracts.vocabulary import ResultStatus, Stage, WaitingReason

_FIRST_LINES = 600
_DEADLINES = {
    FailureCause.START_DEADLINE: "the agent did not start in time",
    FailureCause.IDLE_DEADLINE: "the agent fell silent",
    FailureCause.TOTAL_DEADLINE: "the stage took too long",
}
_WORKER_ENDED = frozenset({FailureCause.CRASH, FailureCause.OOM, FailureCause.INTERRUPTED})
_CODES_FOR_A_PERSON = frozenset(
    {RefusalCode.AUTH_MISSING, RefusalCode.UNSANDBOXED_REFUSED, RefusalCode.DOCKER_SOCKET_REFUSED}
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A valid result of the stage."""

    result: StageResult


@dataclass(frozen=True, slots=True)
class Retry:
    """Transient: a new attempt while there are attempts left, then the stage failed with `reason`."""

    reason: str
    message: str
    is_worker_gone: bool = False
    needs_memory: bool = False


@dataclass(frozen=True, slots=True)
class Parked:
    """No attempt was used: the run waits for `reason` to pass, until `until` (ISO time) when that is known."""

    reason: WaitingReason
    message: str
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Permanent: asking again cannot help."""

    reason: str
    message: str


Verdict = Accepted | Retry | Parked

NO_ANSWER = Retry("no_answer", "the worker did not answer in time", is_worker_gone=True)


def judge(output: DeveloperWorkerOutput, stage: Stage) -> Verdict:
    """Return what a worker's output means for its stage."""
    if output.cause is FailureCause.PROVIDER_LIMIT:
        return Parked(WaitingReason.QUOTA, "the model provider's limit is reached", output.retry_at)
    if output.cause is FailureCause.AUTH_FAILED:
        return Parked(WaitingReason.HUMAN, f"the agent could not sign in: {_lines(output.error)}")
    result = _result(output, stage)
    if stage is Stage.TEST and result is not None and output.cause is None:
        return Accepted(result)
    if output.status is not ResultStatus.SUCCESS:
        return _failure(output)
    if result is None:
        return Retry("no_result", f"no valid result came back, but: {_lines(_said(output))}")
    if stage in (Stage.PLAN, Stage.CODE) and output.verdict is not None and output.verdict.status == "failure":
        return Retry("agent_gave_up", f"the agent reports failure: {_lines(_said(output))}")
    if stage is Stage.CODE and output.commit_sha is None:
        return Retry("nothing_pushed", "the coding stage ended without a pushed commit")
    return Accepted(result)


def judge_refusal(response: WorkerResponse) -> Parked | Refused:
    """Return what it means that no worker was created."""
    why = _lines(response.error) or str(response.code)
    if response.code in _CODES_FOR_A_PERSON:
        return Parked(WaitingReason.HUMAN, f"no worker can be created: {why}")
    if not response.retryable:
        return Refused("worker_refused", f"no worker can be created: {why}")
    if response.code is RefusalCode.RESOURCE_EXHAUSTED:
        return Parked(WaitingReason.RESOURCES, f"no room for another worker: {why}")
    return Parked(WaitingReason.INFRASTRUCTURE, f"no worker can be created at the moment: {why}")


def _failure(output: DeveloperWorkerOutput) -> Retry:
    cause = output.cause
    told = _lines(output.error)
    if output.status is ResultStatus.TIMEOUT or cause in _DEADLINES:
        which = "a deadline passed" if cause is None else _DEADLINES.get(cause, "a deadline passed")
        return Retry("timeout", f"{which} {told}".strip())
    is_gone = output.status is ResultStatus.FAILED or cause in _WORKER_ENDED
    reason = str(cause) if cause else ("crash" if is_gone else "agent_error")
    message = told or f"the worker ended ({reason})"
    return Retry(reason, message, is_worker_gone=is_gone, needs_memory=cause is FailureCause.OOM)


def _result(output: DeveloperWorkerOutput, stage: Stage) -> StageResult | None:
    if output.verdict is None or not output.verdict.data:
        return None
    try:
        return STAGE_RESULTS[stage].model_validate(output.verdict.data, extra="ignore")
    except ValidationError:
        return None


def _said(output: DeveloperWorkerOutput) -> str:
    return output.verdict.summary if output.verdict is not None else (output.error or "nothing")


def _lines(text: str | None) -> str:
    return (text or "").strip()[:_FIRST_LINES]
