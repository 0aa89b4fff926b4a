"""What the launcher reads from the environment: credentials that make a part real, and where state lives."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)
PASSED_ON_PREFIXES = ("PIP_", "UV_", "npm_config_", "NPM_CONFIG_")
NEVER_PASSED_ON = frozenset({"UV_CACHE_DIR"})


def find_repository() -> Path:
    """Return the checkout this package belongs to: above its files or above the current directory, else the latter."""
    for parent in (*Path(__file__).resolve().parents, *Path.cwd().parents):
        if (parent / "requirements.lock").is_file():
            return parent
    return Path.cwd()


def passed_on_environment() -> dict[str, str]:
    """Return the host's settings that child processes need: paths, certificates, package clients."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in NEVER_PASSED_ON and (name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES))
    }


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
