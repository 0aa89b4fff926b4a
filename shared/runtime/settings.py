"""What every service is told by its environment (its own settings extend this), and what child processes get of it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

S = TypeVar("S", bound=BaseSettings)

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


def find_repository() -> Path:
    """Return the checkout these files belong to: above them or above the current directory, else the latter."""
    for parent in (*Path(__file__).resolve().parents, Path.cwd(), *Path.cwd().parents):
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


def settings_or_exit(service: str, kind: type[S]) -> S:
    """Return what the environment says; or exit with 2, after one line for each missing or wrong setting."""
    try:
        return kind()
    except ValidationError as error:
        problems = [_problem(kind, item) for item in error.errors(include_input=False, include_url=False)]
    except SettingsError as error:
        # A list or a mapping that is no JSON: only the message names its field.
        named = re.search(r'field "(\w+)"', str(error))
        problems = [f"{named.group(1).upper() if named else 'a setting'} is wrong: it must be JSON"]
    way_out = "set it in the environment (docs/DEPLOY.md lists the settings)"
    sys.stderr.write("".join(f"{service}: {problem}; {way_out}\n" for problem in problems))
    raise SystemExit(2)


def _problem(kind: type[BaseSettings], item: ErrorDetails) -> str:
    field = str(item["loc"][0]) if item["loc"] else ""
    name = field.upper() or "the settings"
    if item["type"] != "missing":
        return f"{name} is wrong: {item['msg']}"
    described = kind.model_fields[field].description if field in kind.model_fields else None
    return f"{name} is not set" + (f" ({described})" if described else "")
