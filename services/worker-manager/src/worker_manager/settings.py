"""What worker-manager is told by its environment, and the little of it that workers may see."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator

from shared.contracts.vocabulary import AuthMode
from shared.runtime.settings import ServiceSettings
from worker_manager.image_gc import GarbagePolicy

SERVICE = "worker-manager"

_PASSED_NAMES = frozenset(
    {
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "NODE_EXTRA_CA_CERTS",
        "TZ",
    }
)
_PASSED_PREFIXES = ("PIP_", "UV_")
_NEVER_PASSED = frozenset({"UV_CACHE_DIR", "PIP_CACHE_DIR", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON_INSTALL_DIR"})
_SECRET_WORDS = ("TOKEN", "PASSWORD", "SECRET", "PUBLISH")
_PROXY_NAMES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"})


def passed_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of ours that workers inherit: certificates, proxies, package-client settings."""

    def is_passed(name: str) -> bool:
        if name in _NEVER_PASSED or any(word in name for word in _SECRET_WORDS):
            return False
        return name in _PASSED_NAMES or name.upper() in _PROXY_NAMES or name.startswith(_PASSED_PREFIXES)

    return {name: value for name, value in environ.items() if is_passed(name)}


class Settings(ServiceSettings):
    worker_runtime: Literal["process", "docker", "auto"] = "auto"
    workers_dir: Path = Path(".codegen/workers")
    worker_api_url: str = Field(default="", description="as workers reach the api; empty: api_url")
    worker_redis_url: SecretStr = Field(default=SecretStr(""), description="as workers reach Redis; empty: redis_url")
    worker_python: str = Field(default_factory=lambda: sys.executable)
    worker_path: str = Field(
        default_factory=lambda: f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        description="PATH inside workers",
    )
    worker_command: list[str] = Field(default_factory=list, description="JSON; empty: WORKER_PYTHON -m worker_wrapper")
    worker_environment: dict[str, str] = Field(default_factory=lambda: passed_environment(os.environ))
    worker_uid_start: int = Field(default=200_000, ge=10_000, le=2_000_000_000)
    default_auth_mode: AuthMode | None = None
    anthropic_api_key: SecretStr = SecretStr("")
    anthropic_base_url: str = ""
    factory_api_key: SecretStr = SecretStr("")
    host_claude_dir: str = ""
    default_owner_id: str = Field(default="", description="owner of tokens of workers created without a user")
    unsandboxed: bool = False
    allow_docker_socket: bool = False
    image_prefix: str = Field(
        default="codegen-worker", validation_alias=AliasChoices("worker_image_prefix", "image_prefix")
    )
    worker_base_image: str = "codegen/worker-base"
    worker_fetch_image: str = "codegen/worker-fetch"
    worker_network: str = Field(default="", description="the engine's network that worker containers join")
    worker_ca_bundle: str = Field(default="", description="a file of the engine's host, mounted into workers")
    worker_oci_runtime: str = Field(default="", description="another runtime of the engine, e.g. runsc")
    build_settings_dir: Path | None = Field(default=None, description="package-client settings for fetch stages")
    installation: str = Field(default="local", description="tells this installation's containers from others'")
    image_unused_days: float = Field(default=7, gt=0, description="unused images go after so long")
    image_quota_gb: float = Field(default=20, gt=0, description="above it the longest unused images go")
    image_garbage_seconds: float = Field(default=86_400, gt=0)
    max_concurrent_workers: int = Field(default=10, ge=1)
    creation_wait_seconds: float = Field(default=300, ge=0)
    po_pause_after_seconds: float = Field(default=600, gt=0)
    po_end_after_seconds: float = Field(default=1800, gt=0)
    worker_max_age_seconds: float = Field(default=72_000, gt=0, description="PO workers end when idle and this old")
    worker_stop_grace_seconds: float = Field(default=5, ge=0)
    worker_retain_seconds: float = Field(default=600, ge=0, description="how long an ended worker's files stay")
    reconcile_seconds: float = Field(default=5, gt=0)
    attend_seconds: float = Field(default=1, gt=0, description="creation queue and paused workers")

    @field_validator("default_auth_mode", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def redis_url_for_workers(self) -> str:
        return self.worker_redis_url.get_secret_value() or self.redis_url.get_secret_value()

    @property
    def api_url_for_workers(self) -> str:
        return self.worker_api_url or self.api_url

    @property
    def garbage_policy(self) -> GarbagePolicy:
        return GarbagePolicy(timedelta(days=self.image_unused_days), int(self.image_quota_gb * 1e9))

    @property
    def command(self) -> tuple[str, ...]:
        return tuple(self.worker_command) or (self.worker_python, "-m", "worker_wrapper")
