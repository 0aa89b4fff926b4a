"""What the bot is told from outside."""

from __future__ import annotations

from pydantic import Field, SecretStr

from shared.contracts.vocabulary import AgentType
from shared.runtime.settings import ServiceSettings


class BotSettings(ServiceSettings):
    telegram_bot_token: SecretStr
    telegram_api_url: str = Field(default="", description="base address; empty means the real one")
    telegram_allowed_users: str = Field(default="", description="numeric ids, separated by commas")
    telegram_admins: str = ""
    agent_type: AgentType = AgentType.CLAUDE
    turn_timeout_seconds: int = 600
    poll_seconds: int = 10
    edit_interval_seconds: float = 2.0
