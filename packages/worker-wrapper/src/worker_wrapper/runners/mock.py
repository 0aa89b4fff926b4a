"""Agents without a model: a scripted one in a real child process, and any command line of the operator's choice."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from worker_wrapper.envelope import PlainText, Unwrapper

MOCK_AGENT = Path(__file__).with_name("mock_agent.py")


@dataclass(frozen=True, slots=True)
class MockRunner:
    """Answers from a script (see `mock_agent`), or with plausible defaults."""

    session_id: str | None = None
    script: str | None = None
    python: str = sys.executable

    @property
    def streams(self) -> bool:
        return True

    @property
    def is_usage_cumulative(self) -> bool:
        return False

    def build_command(self, prompt: str) -> list[str]:
        """Return the child's command; -I and -S keep its start-up in the milliseconds."""
        return [self.python, "-I", "-S", str(MOCK_AGENT), self.session_id or "", self.script or ""]

    def build_stdin(self, prompt: str) -> str | None:
        return prompt

    def environment(self) -> Mapping[str, str]:
        return {}

    def unwrapper(self) -> Unwrapper:
        return Unwrapper()


@dataclass(frozen=True, slots=True)
class CommandRunner:
    """Runs a given command line instead of an agent; the prompt arrives on its stdin."""

    argv: tuple[str, ...]

    @property
    def streams(self) -> bool:
        return False

    @property
    def is_usage_cumulative(self) -> bool:
        return False

    def build_command(self, prompt: str) -> list[str]:
        return list(self.argv)

    def build_stdin(self, prompt: str) -> str | None:
        return prompt

    def environment(self) -> Mapping[str, str]:
        return {}

    def unwrapper(self) -> Unwrapper:
        return PlainText()
