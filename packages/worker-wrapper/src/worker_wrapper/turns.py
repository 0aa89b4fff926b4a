"""One turn of an agent: start it, listen, and name what came of it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from shared.contracts.queues.workers import FailureCause
from shared.contracts.stages import Usage
from shared.contracts.vocabulary import ResultStatus
from worker_wrapper.envelope import AgentReport, Unwrapper
from worker_wrapper.errors import Interrupted
from worker_wrapper.process import ChildOutcome, ChildProcesses, ChildSpec, Deadlines, Ending, Watch
from worker_wrapper.runners.base import AgentRunner, Session
from worker_wrapper.settings import Limits
from worker_wrapper.transcript import Transcript

ERROR_LIMIT_CHARS = 2000
LIMIT_STATUSES = frozenset({429, 529})
# 404 is the provider's answer to a model it does not know: a person has to change something, as for a bad key.
AUTH_STATUSES = frozenset({401, 403, 404})
NO_CONVERSATION = "No conversation found"

_DEADLINES = {
    Ending.START_DEADLINE: FailureCause.START_DEADLINE,
    Ending.IDLE_DEADLINE: FailureCause.IDLE_DEADLINE,
    Ending.TOTAL_DEADLINE: FailureCause.TOTAL_DEADLINE,
}


@dataclass(frozen=True, slots=True)
class Turn:
    prompt: str = field(repr=False)
    cwd: Path
    env: Mapping[str, str] = field(repr=False)
    seconds: float
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class TurnResult:
    """`text` is the agent's last word; `cause` is set exactly when the turn failed."""

    status: ResultStatus
    text: str = ""
    usage: Usage = field(default_factory=Usage)
    session_id: str | None = None
    exit_code: int | None = None
    cause: FailureCause | None = None
    error: str | None = None
    retry_at: str | None = None

    @property
    def lost_its_conversation(self) -> bool:
        """Tell whether the agent does not know the conversation it was to go on with."""
        return self.cause is FailureCause.AGENT_ERROR and NO_CONVERSATION in (self.error or "")


class AgentTurns:
    """Runs turns one at a time and remembers what cumulative counters said before."""

    def __init__(
        self,
        make_runner: Callable[[Session | None], AgentRunner],
        children: ChildProcesses,
        limits: Limits,
        transcript: Transcript | None = None,
    ) -> None:
        self._make_runner = make_runner
        self._children = children
        self._limits = limits
        self._transcript = transcript
        self._counted: dict[str, Usage] = {}

    async def take(self, turn: Turn, stop: asyncio.Event | None = None) -> TurnResult:
        """Run one turn to its end. Interrupted when `stop` came first."""
        runner = self._make_runner(turn.session)
        unwrapper = runner.unwrapper()
        deadlines = self._deadlines(turn.seconds, runner)
        spec = ChildSpec(
            argv=tuple(runner.build_command(turn.prompt)),
            cwd=turn.cwd,
            env={**turn.env, **runner.environment()},
            stdin=runner.build_stdin(turn.prompt),
        )
        watch = Watch(on_line=self._listener(unwrapper), is_done=lambda: unwrapper.is_done)
        try:
            outcome = await self._children.run(spec, deadlines, watch, stop)
        except OSError as error:
            return TurnResult(
                status=ResultStatus.ERROR,
                cause=FailureCause.AGENT_ERROR,
                error=f"{spec.argv[0]} could not be started: {error.strerror or error}",
            )
        if outcome.ending is Ending.STOPPED:
            raise Interrupted
        result = classify(outcome, unwrapper.report(outcome.stdout), deadlines)
        return self._counted_once(result, turn.session) if runner.is_usage_cumulative else result

    def _deadlines(self, seconds: float, runner: AgentRunner) -> Deadlines:
        limits = self._limits
        return Deadlines(
            total_seconds=max(seconds, 0.0),
            start_seconds=limits.start_seconds if runner.streams else None,
            idle_seconds=limits.idle_seconds if runner.streams else None,
            linger_seconds=limits.linger_seconds,
            kill_grace_seconds=limits.kill_grace_seconds,
        )

    def _listener(self, unwrapper: Unwrapper) -> Callable[[str], None]:
        transcript = self._transcript

        def hear(line: str) -> None:
            if transcript is not None:
                transcript.add(line)
            unwrapper.feed(line)

        return hear

    def _counted_once(self, result: TurnResult, session: Session | None) -> TurnResult:
        """Return the turn's own usage where the agent counts its whole conversation."""
        before = self._counted.get(session.session_id) if session else None
        if result.session_id:
            self._counted[result.session_id] = result.usage
        return replace(result, usage=_difference(result.usage, before)) if before else result


def classify(outcome: ChildOutcome, report: AgentReport | None, deadlines: Deadlines) -> TurnResult:
    """Return what a child's end and its report mean together."""
    known = TurnResult(
        status=ResultStatus.SUCCESS,
        text=report.text if report else "",
        usage=report.usage if report else Usage(),
        session_id=report.session_id if report else None,
        exit_code=outcome.exit_code,
    )
    if (cause := _DEADLINES.get(outcome.ending)) is not None:
        error = _with_stderr(_deadline_text(cause, deadlines), outcome)
        return replace(known, status=ResultStatus.TIMEOUT, cause=cause, error=error)
    if report is not None and report.is_error:
        return _refused(known, report, outcome)
    if outcome.ending is Ending.EXITED and outcome.exit_code != 0:
        return _failed(known, FailureCause.CRASH if (outcome.exit_code or 0) < 0 else FailureCause.AGENT_ERROR, outcome)
    if report is None:
        error = _with_stderr("the agent ended without an answer (exit code 0, nothing to read)", outcome)
        return replace(known, status=ResultStatus.ERROR, cause=FailureCause.AGENT_ERROR, error=error)
    return known


def _refused(known: TurnResult, report: AgentReport, outcome: ChildOutcome) -> TurnResult:
    """Return a turn that the agent itself calls an error: the provider's status says which kind."""
    cause = FailureCause.AGENT_ERROR
    if report.api_error_status in LIMIT_STATUSES:
        cause = FailureCause.PROVIDER_LIMIT
    elif report.api_error_status in AUTH_STATUSES:
        cause = FailureCause.AUTH_FAILED
    error = _with_stderr(report.text or "the agent reported an error without a text", outcome)
    retry_at = report.retry_at if cause is FailureCause.PROVIDER_LIMIT else None
    return replace(known, status=ResultStatus.ERROR, text="", cause=cause, error=error, retry_at=retry_at)


def _failed(known: TurnResult, cause: FailureCause, outcome: ChildOutcome) -> TurnResult:
    code = outcome.exit_code or 0
    how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    return replace(
        known, status=ResultStatus.ERROR, text="", cause=cause, error=_with_stderr(f"the agent {how}", outcome)
    )


def _deadline_text(cause: FailureCause, deadlines: Deadlines) -> str:
    if cause is FailureCause.START_DEADLINE:
        return f"the agent printed nothing for {deadlines.start_seconds:g} s (start deadline)"
    if cause is FailureCause.IDLE_DEADLINE:
        return f"the agent fell silent for {deadlines.idle_seconds:g} s (idle deadline)"
    return f"the agent was not done after {deadlines.total_seconds:g} s (total deadline)"


def _with_stderr(text: str, outcome: ChildOutcome) -> str:
    tail = outcome.stderr_tail[-ERROR_LIMIT_CHARS:]
    return f"{text[:ERROR_LIMIT_CHARS]}\n{tail}" if tail else text[:ERROR_LIMIT_CHARS]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _difference(total: Usage, before: Usage) -> Usage:
    return Usage(
        input_tokens=max(total.input_tokens - before.input_tokens, 0),
        output_tokens=max(total.output_tokens - before.output_tokens, 0),
        cache_read_tokens=max(total.cache_read_tokens - before.cache_read_tokens, 0),
        cache_write_tokens=max(total.cache_write_tokens - before.cache_write_tokens, 0),
        cost_usd=max(total.cost_usd - before.cost_usd, 0.0),
        turns=max(total.turns - before.turns, 0),
    )
