"""What the environment says about the stores that tests use."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class StoreSettings(BaseSettings):
    """TEST_REDIS_URL and TEST_DATABASE_URL: servers that run already, instead of embedded ones."""

    model_config = SettingsConfigDict(env_prefix="TEST_", extra="ignore")

    redis_url: str = ""
    database_url: str = ""
