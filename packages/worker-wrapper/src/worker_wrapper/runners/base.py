"""The port every agent program is run through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from worker_wrapper.envelope import Unwrapper

# One argument of a command line may hold 128 KiB; prompts well below it travel there, the rest by stdin.
LONGEST_ARGUMENT_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation: `is_new` when the agent has not heard of it yet."""

    session_id: str
    is_new: bool


class AgentRunner(Protocol):
    """How to start one turn of one agent."""

    @property
    def streams(self) -> bool:
        """Tell whether the agent prints events while it works, so that start and idle deadlines make sense."""
        ...

    @property
    def is_usage_cumulative(self) -> bool:
        """Tell whether a continued conversation reports the usage of its earlier turns again."""
        ...

    def build_command(self, prompt: str) -> list[str]:
        """Return the argument list of one turn."""
        ...

    def build_stdin(self, prompt: str) -> str | None:
        """Return what the agent reads from its input; None when the prompt is in the command."""
        ...

    def environment(self) -> Mapping[str, str]:
        """Return the variables this program needs."""
        ...

    def unwrapper(self) -> Unwrapper:
        """Return a fresh reader of this program's output."""
        ...


def travels_by_stdin(prompt: str) -> bool:
    """Tell whether a prompt is too long for an argument, or would be read as an option."""
    return prompt.startswith("-") or len(prompt.encode()) > LONGEST_ARGUMENT_BYTES or "\0" in prompt
