"""What the api, its relay and its migration read from the environment."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.runtime.settings import ServiceSettings


class ApiSettings(ServiceSettings):
    http_port: int = 8000
    database_url: SecretStr
    api_jwt_secret: SecretStr = Field(min_length=32)
    database_pool_size: int = Field(default=10, ge=1, le=200)


class RelaySettings(ServiceSettings):
    database_url: SecretStr
    relay_poll_seconds: float = Field(default=1.0, gt=0)
    relay_batch: int = Field(default=1000, ge=1)


class MigrationSettings(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    database_url: SecretStr
