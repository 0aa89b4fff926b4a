"""Claude Code, headless."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker_wrapper.envelope import Unwrapper
from worker_wrapper.runners.base import travels_by_stdin


@dataclass(frozen=True, slots=True)
class ClaudeRunner:
    """`session_id` is continued with `--resume`, or named for the first time with `--session-id`."""

    session_id: str | None = None
    output_format: str = "json"
    is_new_session: bool = False
    model: str | None = None

    @property
    def streams(self) -> bool:
        return self.output_format == "stream-json"

    @property
    def is_usage_cumulative(self) -> bool:
        return False

    def build_command(self, prompt: str) -> list[str]:
        """Return `claude -p …`; the prompt is left out when it travels by stdin."""
        command = ["claude", "-p"]
        if not travels_by_stdin(prompt):
            command.append(prompt)
        command += ["--output-format", self.output_format, "--dangerously-skip-permissions"]
        if self.streams:
            command.append("--verbose")
        if self.model:
            command += ["--model", self.model]
        if self.session_id:
            command += ["--session-id" if self.is_new_session else "--resume", self.session_id]
        return command

    def build_stdin(self, prompt: str) -> str | None:
        return prompt if travels_by_stdin(prompt) else None

    def environment(self) -> Mapping[str, str]:
        return {
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_MAX_RETRIES": "2",
        }

    def unwrapper(self) -> Unwrapper:
        return Unwrapper()
