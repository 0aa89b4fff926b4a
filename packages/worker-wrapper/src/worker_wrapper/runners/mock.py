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
    """Answers from the script that MOCK_AGENT_SCRIPT names (see `mock_agent`), or with plausible defaults."""

    session_id: str | None = None
    python: str = sys.executable

    @property
    def streams(self) -> bool:
        return True

    @property
    def is_usage_cumulative(self) -> bool:
        return False

    def build_command(self, prompt: str) -> list[str]:
        """Return the child's command; -I and -S keep its start-up in the milliseconds."""
        command = [self.python, "-I", "-S", str(MOCK_AGENT)]
        return [*command, self.session_id] if self.session_id else command

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
