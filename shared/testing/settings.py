"""What the environment says about stores and services that tests use, and what child processes of tests inherit."""

from __future__ import annotations

import os

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class StoreSettings(BaseSettings):
    """TEST_REDIS_URL and TEST_DATABASE_URL: servers that run already, instead of embedded ones."""

    model_config = SettingsConfigDict(env_prefix="TEST_", extra="ignore")

    redis_url: str = ""
    database_url: str = ""


class StackSettings(BaseSettings):
    """TEST_STACK and what belongs to it: services that run already as containers, instead of processes of a test."""

    model_config = SettingsConfigDict(env_prefix="TEST_", extra="ignore")

    stack: str = Field(default="", description="the containers' compose project; empty: tests start processes")
    api_url: str = "http://api:8000"
    api_replica_url: str = Field(default="", description="an api that no test stops, on the same database")
    telegram_url: str = "http://emulator-telegram:8080"
    engine_socket: str = "/var/run/docker.sock"


_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "VIRTUAL_ENV")


def inherited_environment() -> dict[str, str]:
    """Return the variables a Python process needs to find itself and its folders; nothing else reaches a child."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
