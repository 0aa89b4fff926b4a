"""The scripted agent of tests: runs inside the wrapper, needs no binary and no credential."""

from __future__ import annotations

from collections.abc import Mapping

from shared.contracts.vocabulary import AgentType
from worker_manager.agents.base import WORKSPACE_DIR


class MockAgent:
    agent_type = AgentType.MOCK
    version = "1"
    binary: str | None = None
    api_key_variable: str | None = None

    def get_install_commands(self) -> list[str]:
        return []

    def get_instruction_path(self) -> str:
        return f"{WORKSPACE_DIR}/CLAUDE.md"

    def get_agent_command(self) -> str:
        return ""

    def environment(self) -> Mapping[str, str]:
        return {}
