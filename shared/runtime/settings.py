"""What every service is told by its environment; a service's own settings extend this."""

from __future__ import annotations

from typing import Literal

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Environment names are the upper-case field names."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    api_url: str = "http://127.0.0.1:8000"
    api_token: SecretStr = SecretStr("")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    http_host: str = "127.0.0.1"
    http_port: int = 0
    log_level: str = "INFO"
    log_format: Literal["json", "console"] = "json"
    service_replica: str = "1"
    drain_seconds: float = 8.0

    def consumer_name(self, service: str) -> str:
        """Return the stable consumer name of this replica."""
        return f"{service}-{self.service_replica}"


def secret_values(settings: BaseSettings) -> list[str]:
    """Return every non-empty secret of a settings value."""
    values: list[str] = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr) and value.get_secret_value():
            values.append(value.get_secret_value())
    return values
