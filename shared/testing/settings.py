"""What the environment says about the stores that tests use, and what child processes of tests inherit of it."""

from __future__ import annotations

import os

from pydantic_settings import BaseSettings, SettingsConfigDict


class StoreSettings(BaseSettings):
    """TEST_REDIS_URL and TEST_DATABASE_URL: servers that run already, instead of embedded ones."""

    model_config = SettingsConfigDict(env_prefix="TEST_", extra="ignore")

    redis_url: str = ""
    database_url: str = ""


_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "VIRTUAL_ENV")


def inherited_environment() -> dict[str, str]:
    """Return the variables a Python process needs to find itself and its folders; nothing else reaches a child."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
