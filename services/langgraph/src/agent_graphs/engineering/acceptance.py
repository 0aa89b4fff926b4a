"""What a valid stage result leads to, and how work goes back to coding. The agent's word is never evidence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent_graphs.drive import Drive
from agent_graphs.prompting import tail
from agent_graphs.routing import Goto, failed, go
from agent_graphs.state import EngineeringState
from shared.contracts.dto.work import RunFacts
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.queues.workers import DeveloperWorkerOutput
from shared.contracts.run_machine import RunEventName
from shared.contracts.stages import CodeResult, Finding, PlanResult, ReviewResult, StageResult, TestResult
from shared.contracts.vocabulary import RunEventType, Stage

FAILED_EVENTS = {
    Stage.PLAN: RunEventName.PLAN_FAILED,
    Stage.CODE: RunEventName.CODE_FAILED,
    Stage.TEST: RunEventName.CODE_FAILED,
    Stage.REVIEW: RunEventName.REVIEW_FAILED,
}
_FINDINGS_TOLD = 5


async def _plan_accepted(
    state: EngineeringState, drive: Drive, output: DeveloperWorkerOutput, result: StageResult
) -> Goto:
    assert isinstance(result, PlanResult)
    _tell(drive, Stage.PLAN, output, result.summary)
    await drive.transition(RunEventName.PLAN_SUCCEEDED, "PLAN_SUCCEEDED")
    return go("request_code", plan=result.model_dump(mode="json"), tries=_first(state, Stage.CODE), notes=[])


async def _code_accepted(
    state: EngineeringState, drive: Drive, output: DeveloperWorkerOutput, result: StageResult
) -> Goto:
    assert isinstance(result, CodeResult)
    _tell(drive, Stage.CODE, output, result.summary)
    return go(
        "request_test",
        code=result.model_dump(mode="json"),
        head_sha=output.commit_sha,
        tries=_first(state, Stage.TEST),
    )


async def _tests_ran(state: EngineeringState, drive: Drive, output: DeveloperWorkerOutput, result: StageResult) -> Goto:
    assert isinstance(result, TestResult)
    attempt = state["tries"][Stage.CODE.value]
    if result.passed:
        _tell(drive, Stage.TEST, output, "The project's tests are green")
        facts = RunFacts(branch=state["branch"], head_sha=state["head_sha"], worker_id=state.get("worker_id"))
        await drive.transition(RunEventName.CODE_SUCCEEDED, f"CODE_SUCCEEDED:{state['round']}:{attempt}", facts=facts)
        tests = result.model_dump(mode="json", exclude={"log_tail"})
        return go("request_review", tests=tests, tries=_first(state, Stage.REVIEW), feedback=None)
    limit = drive.services.policy.max_code_attempts
    note = f"code attempt {attempt} of {limit}: the tests are red"
    _tell(drive, Stage.TEST, output, note)
    text = _failures(result, drive.services.policy.log_limit_chars)
    if attempt >= limit:
        return failed("tests_red", f"the tests are still red after {limit} attempts\n{text}", "CODE_FAILED")
    return go(
        "request_code",
        feedback={"title": "the tests are red", "text": text},
        notes=[*state["notes"], note],
        tries={**state["tries"], Stage.CODE.value: attempt + 1},
    )


async def _reviewed(state: EngineeringState, drive: Drive, output: DeveloperWorkerOutput, result: StageResult) -> Goto:
    assert isinstance(result, ReviewResult)
    _tell(drive, Stage.REVIEW, output, "\n".join([result.summary, *_findings(result.findings[:_FINDINGS_TOLD])]))
    review = result.model_dump(mode="json")
    if result.approved:
        await drive.transition(RunEventName.REVIEW_APPROVED, f"REVIEW_APPROVED:{state['round']}")
        return go("open_pr", review=review)
    text = "\n".join([result.summary, *_findings(result.findings)])
    return await send_back(
        state,
        drive,
        RunEventName.REVIEW_REJECTED,
        "review_rejected",
        {"title": "the review rejected the change", "text": text},
    )


async def send_back(
    state: EngineeringState, drive: Drive, event: RunEventName, reason: str, feedback: dict[str, str]
) -> Goto:
    """Count a rejection, by review or by CI, and go back to coding; past the limit the stage failed."""
    number = state["round"] + 1
    limit = drive.services.policy.max_review_rounds
    if number >= limit:
        fatal = RunEventName.REVIEW_FAILED if event is RunEventName.REVIEW_REJECTED else RunEventName.PR_FAILED
        message = f"rejected {number} times, the last time because {feedback['title']}: {feedback['text']}"
        return failed(reason, tail(message, drive.services.policy.log_limit_chars), fatal.value)
    await drive.transition(event, f"{event}:{number}", reason=reason, message=feedback["title"])
    note = f"round {number} of {limit}: {feedback['title']}"
    return go(
        "request_code",
        round=number,
        feedback=feedback,
        notes=[*state["notes"], note],
        tries=_first(state, Stage.CODE),
    )


ACCEPTED: dict[Stage, Callable[[EngineeringState, Drive, DeveloperWorkerOutput, StageResult], Awaitable[Goto]]] = {
    Stage.PLAN: _plan_accepted,
    Stage.CODE: _code_accepted,
    Stage.TEST: _tests_ran,
    Stage.REVIEW: _reviewed,
}


def _first(state: EngineeringState, stage: Stage) -> dict[str, int]:
    return {**state["tries"], stage.value: 1}


def _tell(drive: Drive, stage: Stage, output: DeveloperWorkerOutput, message: str) -> None:
    payload = RunEventPayload(stage=stage.value, attempt=output.attempt, request_id=output.request_id, message=message)
    drive.journal.add(RunEventType.AGENT_MESSAGE, f"said:{output.request_id}", payload)


def _failures(result: TestResult, limit: int) -> str:
    failures = "\n".join(f"- {failure}" for failure in result.failures)
    return f"`{result.command}` fails:\n{tail(failures, limit)}\n\nEnd of its output:\n{tail(result.log_tail, limit)}"


def _findings(findings: list[Finding]) -> list[str]:
    return [
        f"- {finding.severity.value}"
        + (f" {finding.file}" if finding.file else "")
        + (f":{finding.line}" if finding.file and finding.line else "")
        + f": {finding.message}"
        for finding in findings
    ]
