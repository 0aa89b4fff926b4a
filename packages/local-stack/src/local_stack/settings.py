"""What the launcher reads from the environment: credentials that make a part real, and where state lives."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.runtime.settings import find_repository


def environment_without(names: Iterable[str]) -> dict[str, str]:
    """Return this process's environment without some variables, for a command that must not know them."""
    left_out = frozenset(names)
    return {name: value for name, value in os.environ.items() if name not in left_out}


class StackSettings(BaseSettings):
    """Each credential that is set makes its part real; without it an emulator stands in."""

    model_config = SettingsConfigDict(env_ignore_empty=True)

    codegen_home: Path = Field(default_factory=lambda: find_repository() / ".codegen")
    anthropic_api_key: SecretStr | None = None
    telegram_bot_token: SecretStr | None = None
    telegram_allowed_users: str = ""
    telegram_admins: str = ""
    github_app_id: str | None = None
    github_app_private_key_file: Path | None = None
    github_owner: str | None = None
    unsandboxed: bool = False
    claude_binary: Path | None = None
    log_level: str = "INFO"
    stage_timeout_seconds: int = 1800
    max_concurrent_workers: int = 10

    @property
    def is_llm_real(self) -> bool:
        return self.anthropic_api_key is not None

    @property
    def is_telegram_real(self) -> bool:
        return self.telegram_bot_token is not None

    @property
    def is_github_real(self) -> bool:
        return self.github_app_id is not None
