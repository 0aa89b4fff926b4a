"""Runs a project's own tests and reads what they say. The platform does this itself: no agent is asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.contracts.stages import TestCounts, TestResult
from worker_wrapper.errors import Interrupted
from worker_wrapper.process import ChildOutcome, ChildProcesses, ChildSpec, Deadlines, Ending

COMMAND = ("make", "test")
LOG_TAIL_CHARS = 8000
MOST_FAILURES = 50
FAILURE_CHARS = 500
_SUMMARY = re.compile(
    r"^=* ?(?=\d+ (?:passed|failed|error|skipped|xfailed|xpassed|deselected|warning)).* in [\d.:]+ ?s"
)
_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")


@dataclass(frozen=True, slots=True)
class TestRun:
    """`timed_out` when the deadline ended the tests before they did."""

    __test__ = False

    result: TestResult
    exit_code: int | None
    timed_out: bool


class ProjectTests:
    """Runs `make test` in a checkout."""

    def __init__(self, children: ChildProcesses, environ: Mapping[str, str], kill_grace_seconds: float = 5.0) -> None:
        self._children = children
        self._environ = dict(environ)
        self._kill_grace_seconds = kill_grace_seconds

    async def run(self, cwd: Path, seconds: float, stop: asyncio.Event | None = None) -> TestRun:
        """Run the tests to their end or the deadline. OSError when make is missing, Interrupted when `stop` comes."""
        spec = ChildSpec(argv=COMMAND, cwd=cwd, env=self._environ)
        deadlines = Deadlines(total_seconds=seconds, kill_grace_seconds=self._kill_grace_seconds)
        outcome = await self._children.run(spec, deadlines, stop=stop)
        if outcome.ending is Ending.STOPPED:
            raise Interrupted
        timed_out = outcome.ending is Ending.TOTAL_DEADLINE
        passed = outcome.exit_code == 0 and not timed_out
        return TestRun(read_outcome(outcome, passed), outcome.exit_code, timed_out)


def read_outcome(outcome: ChildOutcome, passed: bool) -> TestResult:
    """Return counts, failures and the end of the log."""
    log = "\n".join(part for part in (outcome.stdout.rstrip(), outcome.stderr_tail) if part)
    lines = log.splitlines()
    return TestResult(
        passed=passed,
        command=" ".join(COMMAND),
        counts=parse_counts(lines),
        failures=[] if passed else parse_failures(lines),
        log_tail=log[-LOG_TAIL_CHARS:],
    )


def parse_counts(lines: list[str]) -> TestCounts | None:
    """Return the sum of all pytest summary lines; None when there is none."""
    summaries = [line for line in lines if _SUMMARY.match(line.strip())]
    if not summaries:
        return None
    totals = {"passed": 0, "failed": 0, "errors": 0, "skipped": 0}
    for line in summaries:
        for number, word in _COUNT.findall(line):
            totals["errors" if word.startswith("error") else word] += int(number)
    return TestCounts(**totals)


def parse_failures(lines: list[str]) -> list[str]:
    """Return pytest's short summary of what failed."""
    return [line[:FAILURE_CHARS] for line in lines if line.startswith(("FAILED ", "ERROR "))][:MOST_FAILURES]
