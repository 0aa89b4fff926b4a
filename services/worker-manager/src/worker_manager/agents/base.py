"""The port of an agent kind: how it is installed, instructed, started and authenticated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from shared.contracts.vocabulary import AgentType

INSTALL_DIR = "/agent"
WORKSPACE_DIR = "/workspace"


def check_integrity(integrity: str) -> str:
    """Return the command that fails unless npm verified exactly this digest of the package it has just installed."""
    return f"grep -qF '{integrity}' {INSTALL_DIR}/package-lock.json"


class AgentConfig(Protocol):
    @property
    def agent_type(self) -> AgentType: ...
    @property
    def version(self) -> str: ...
    @property
    def binary(self) -> str | None:
        """Name of the single binary an image needs; None when there is none."""
        ...

    @property
    def api_key_variable(self) -> str | None:
        """Environment variable that carries the agent's key; None when it needs none."""
        ...

    def get_install_commands(self) -> list[str]:
        """Return the shell commands of the fetch stage; they leave the binary in /agent/bin."""
        ...

    def get_instruction_path(self) -> str:
        """Return the one file the agent reads its instructions from."""
        ...

    def get_agent_command(self) -> str:
        """Return the headless command line, without the prompt."""
        ...

    def environment(self) -> Mapping[str, str]:
        """Return variables that keep the agent quiet and offline-safe."""
        ...
