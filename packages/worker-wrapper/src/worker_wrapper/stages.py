"""Carries out one stage of a run: plan, code and review by the agent, test by the platform itself."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from shared.contracts.queues.workers import DeveloperWorkerInput, FailureCause
from shared.contracts.stages import AgentVerdict, Usage
from shared.contracts.vocabulary import ResultStatus, Stage
from worker_wrapper.errors import WorkspaceError
from worker_wrapper.project_tests import ProjectTests
from worker_wrapper.runners.base import Session
from worker_wrapper.stage_results import Reading, read_result, repair_prompt
from worker_wrapper.turns import AgentTurns, Turn, TurnResult
from worker_wrapper.workspace import Workspace

QUOTE_CHARS = 500
READING_STAGES = frozenset({Stage.PLAN, Stage.REVIEW})


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What a DeveloperWorkerOutput says beyond the ids it copies from its request."""

    status: ResultStatus
    error: str | None = None
    cause: FailureCause | None = None
    verdict: AgentVerdict | None = None
    commit_sha: str | None = None
    pr_url: str | None = None
    usage: Usage = field(default_factory=Usage)
    session_id: str | None = None
    exit_code: int | None = None
    retry_at: str | None = None


class StageExecutor:
    """Runs stages in the run's checkout. One message, one deadline: the repair turn and git share it."""

    def __init__(
        self,
        turns: AgentTurns,
        workspace: Workspace,
        tests: ProjectTests,
        agent_env: Callable[[str], dict[str, str]],
        stop: asyncio.Event,
    ) -> None:
        self._turns = turns
        self._workspace = workspace
        self._tests = tests
        self._agent_env = agent_env
        self._stop = stop

    async def run(self, message: DeveloperWorkerInput) -> StageOutcome:
        """Carry out a stage and return its outcome. Interrupted when told to stop."""
        ends_at = time.monotonic() + message.timeout
        try:
            cwd = await self._workspace.prepare(message.repo) if message.repo else self._workspace.root
            if message.stage is Stage.TEST:
                return await self._test(cwd, ends_at)
            outcome, reading = await self._ask(message, cwd, ends_at)
            if message.repo is None or outcome.status is not ResultStatus.SUCCESS:
                return outcome
            if message.stage is Stage.CODE:
                return await self._publish(message, outcome, reading)
            if message.stage in READING_STAGES:
                await self._workspace.discard_changes()
            return outcome
        except WorkspaceError as error:
            return StageOutcome(status=ResultStatus.ERROR, cause=FailureCause.WORKSPACE, error=str(error))

    async def _test(self, cwd: Path, ends_at: float) -> StageOutcome:
        """Run the project's tests. Red tests are a stage that worked; its verdict says what it found."""
        seconds = max(ends_at - time.monotonic(), 0)
        try:
            run = await self._tests.run(cwd, seconds, self._stop)
        except OSError as error:
            raise WorkspaceError(f"make could not be started: {error.strerror or error}") from None
        counts = run.result.counts
        summary = f"{counts.passed} passed, {counts.failed + counts.errors} failed" if counts else "no test summary"
        verdict = AgentVerdict(
            status="success" if run.result.passed else "failure",
            summary=summary,
            data=run.result.model_dump(mode="json"),
        )
        outcome = StageOutcome(status=ResultStatus.SUCCESS, verdict=verdict, exit_code=run.exit_code)
        if not run.timed_out:
            return outcome
        return replace(
            outcome,
            status=ResultStatus.TIMEOUT,
            cause=FailureCause.TOTAL_DEADLINE,
            error=f"the tests were not done after {seconds:.0f} s (total deadline)",
        )

    async def _ask(
        self, message: DeveloperWorkerInput, cwd: Path, ends_at: float
    ) -> tuple[StageOutcome, Reading | None]:
        """Ask the agent, and once more in the same conversation when its result cannot be read."""
        env = self._agent_env(message.request_id)
        session = Session(str(uuid.uuid4()), is_new=True)
        first = await self._turns.take(Turn(message.prompt, cwd, env, ends_at - time.monotonic(), session), self._stop)
        if first.cause is not None:
            return _outcome(first), None
        reading = read_result(message.stage, first.text)
        if reading.problem is None:
            return _outcome(first, reading), reading
        again = Turn(
            repair_prompt(message.stage, reading.problem, first.text),
            cwd,
            env,
            ends_at - time.monotonic(),
            Session(first.session_id or session.session_id, is_new=False),
        )
        second = await self._turns.take(again, self._stop)
        second = replace(second, usage=first.usage.plus(second.usage))
        if second.cause is not None:
            return _outcome(second), None
        reading = read_result(message.stage, second.text)
        return _outcome(second, reading), reading

    async def _publish(
        self, message: DeveloperWorkerInput, outcome: StageOutcome, reading: Reading | None
    ) -> StageOutcome:
        """Commit and push what the code stage made, and put the facts into its result."""
        if message.repo is None or reading is None or reading.code is None or outcome.verdict is None:
            return outcome
        pushed = await self._workspace.publish(message.repo, reading.code.commit_message)
        if pushed is None:
            return replace(
                outcome,
                status=ResultStatus.ERROR,
                cause=FailureCause.NO_RESULT,
                error="the agent reported success but changed no file",
            )
        code = reading.code.model_copy(
            update={"commit_sha": pushed.sha, "file_changes": reading.code.file_changes or pushed.changes}
        )
        verdict = outcome.verdict.model_copy(update={"data": code.model_dump(mode="json")})
        return replace(outcome, commit_sha=pushed.sha, verdict=verdict)


def _outcome(turn: TurnResult, reading: Reading | None = None) -> StageOutcome:
    """Return a turn's outcome; an unreadable result is an error of its own cause."""
    known = StageOutcome(
        status=turn.status,
        error=turn.error,
        cause=turn.cause,
        usage=turn.usage,
        session_id=turn.session_id,
        exit_code=turn.exit_code,
        retry_at=turn.retry_at,
    )
    if reading is None:
        return known
    if reading.verdict is None:
        came = turn.text.strip()[:QUOTE_CHARS] or "nothing"
        error = f"no usable result: {reading.problem}. What came instead: {came}"
        return replace(known, status=ResultStatus.ERROR, cause=FailureCause.NO_RESULT, error=error)
    data = reading.verdict.data
    sha, url = data.get("commit_sha"), data.get("pr_url")
    return replace(
        known,
        verdict=reading.verdict,
        commit_sha=sha if isinstance(sha, str) else None,
        pr_url=url if isinstance(url, str) else None,
    )
