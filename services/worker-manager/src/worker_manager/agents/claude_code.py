"""Claude Code: one native binary, taken from its platform package."""

from __future__ import annotations

from collections.abc import Mapping

from shared.contracts.vocabulary import AgentType
from worker_manager.agents.base import INSTALL_DIR, WORKSPACE_DIR, check_integrity

_PACKAGE = "@anthropic-ai/claude-code-linux-x64"
_INTEGRITY = "sha512-rIlKmrY0QMyHgPRX/MYWNj039vbypICvI9jVe3rs9Xy2RnNklySjyPxqh62QadznzoftEO23uYQ1tFePcQ//bg=="


class ClaudeCodeAgent:
    agent_type = AgentType.CLAUDE
    version = "2.1.197"
    binary: str | None = "claude"
    api_key_variable: str | None = "ANTHROPIC_API_KEY"

    def get_install_commands(self) -> list[str]:
        # The platform package is installed itself: its parent's postinstall would only copy this binary.
        return [
            f"npm install --ignore-scripts --prefix {INSTALL_DIR} {_PACKAGE}@{self.version}"
            f" && {check_integrity(_INTEGRITY)}",
            f"install -D -m 0755 {INSTALL_DIR}/node_modules/{_PACKAGE}/claude {INSTALL_DIR}/bin/claude",
        ]

    def get_instruction_path(self) -> str:
        return f"{WORKSPACE_DIR}/CLAUDE.md"

    def get_agent_command(self) -> str:
        return "claude -p --output-format json --dangerously-skip-permissions"

    def environment(self) -> Mapping[str, str]:
        # Without the first one every start waits seconds for hosts a worker cannot reach.
        return {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
