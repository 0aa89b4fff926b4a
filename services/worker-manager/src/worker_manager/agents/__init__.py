"""What each coding agent needs of an image, a workspace and an environment."""

from __future__ import annotations

from shared.contracts.vocabulary import AgentType
from worker_manager.agents.base import AgentConfig
from worker_manager.agents.claude_code import ClaudeCodeAgent
from worker_manager.agents.factory_droid import FactoryDroidAgent
from worker_manager.agents.mock import MockAgent

AGENTS: dict[AgentType, AgentConfig] = {
    AgentType.CLAUDE: ClaudeCodeAgent(),
    AgentType.FACTORY: FactoryDroidAgent(),
    AgentType.MOCK: MockAgent(),
}

__all__ = ["AGENTS", "AgentConfig", "ClaudeCodeAgent", "FactoryDroidAgent", "MockAgent"]
