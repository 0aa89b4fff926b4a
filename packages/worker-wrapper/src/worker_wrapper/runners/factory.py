"""Factory's Droid, headless and in its air-gapped mode: a conversation goes on as a fork with a new id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker_wrapper.envelope import Unwrapper
from worker_wrapper.runners.base import travels_by_stdin


@dataclass(frozen=True, slots=True)
class FactoryRunner:
    """`session_id` names the conversation to fork; Droid answers with the id of the fork."""

    session_id: str | None = None
    model: str | None = None

    @property
    def streams(self) -> bool:
        return False

    @property
    def is_usage_cumulative(self) -> bool:
        return True

    def build_command(self, prompt: str) -> list[str]:
        """Return `droid exec …`; the prompt is left out when it travels by stdin."""
        command = ["droid", "exec", "-o", "json", "--skip-permissions-unsafe"]
        if self.model:
            command += ["-m", self.model]
        if self.session_id:
            command += ["--fork", self.session_id]
        if not travels_by_stdin(prompt):
            command.append(prompt)
        return command

    def build_stdin(self, prompt: str) -> str | None:
        return prompt if travels_by_stdin(prompt) else None

    def environment(self) -> Mapping[str, str]:
        return {"FACTORY_AIRGAP_ENABLED": "true", "FACTORY_DROID_AUTO_UPDATE_ENABLED": "false"}

    def unwrapper(self) -> Unwrapper:
        return Unwrapper()
