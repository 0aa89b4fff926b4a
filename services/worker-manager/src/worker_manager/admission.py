"""Decides whether a worker may be created as asked, and with which credential; starts nothing."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from shared.contracts.queues.workers import WorkerConfig
from shared.contracts.vocabulary import AgentType, AuthMode, WorkerCapability
from worker_manager.agents import AGENTS
from worker_manager.container_config import WorkerContainerConfig
from worker_manager.errors import AuthMissing, DockerSocketRefused, InvalidConfig, UnsandboxedRefused
from worker_manager.records import WorkerRecord

RESERVED_NAMES = frozenset(
    {
        *("WORKER_ID", "WORKER_TYPE", "AGENT_TYPE", "WORKER_POOLED", "CAPABILITIES", "ALLOWED_COMMANDS"),
        *("REDIS_URL", "API_URL", "API_TOKEN", "USER_ID", "TASK_ID", "RUN_ID", "PROJECT_ID"),
        *("WORKSPACE", "HOME", "PATH", "TMPDIR", "SHELL", "IFS", "ENV", "BASH_ENV", "NODE_OPTIONS"),
    }
)
RESERVED_PREFIXES = ("LD_", "PYTHON")
LLM_KEY_NAMES = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "FACTORY_API_KEY")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """What this installation allows and what it falls back to."""

    default_auth_mode: AuthMode | None = None
    api_keys: Mapping[AgentType, SecretStr] | None = None
    anthropic_base_url: str = ""
    host_claude_dir: str = ""
    is_unsandboxed_allowed: bool = False
    is_docker_socket_allowed: bool = False
    worker_network: str = ""

    def admit(self, record: WorkerRecord, config: WorkerConfig, *, is_sandboxed: bool) -> WorkerContainerConfig:
        """Return the worker's full configuration, or raise the Refused leaf that says why not."""
        _check_variables(config.env_vars)
        if WorkerCapability.DOCKER in config.capabilities and not self.is_docker_socket_allowed:
            raise DockerSocketRefused
        if config.network_name and self.worker_network and config.network_name != self.worker_network:
            raise InvalidConfig(f"network_name: workers of this installation run in {self.worker_network} only")
        mode = self._auth_mode(config)
        admitted = WorkerContainerConfig(
            worker_id=record.worker_id,
            worker_type=record.worker_type,
            agent_type=record.agent_type,
            capabilities=tuple(config.capabilities),
            allowed_commands=tuple(config.allowed_commands),
            auth_mode=mode,
            host_claude_dir=self._claude_dir(config, mode),
            api_key=self._api_key(config, mode),
            anthropic_base_url=self.anthropic_base_url or None,
            env_vars=dict(config.env_vars),
            pooled=record.pooled,
            context=record.context,
            network_name=config.network_name,
            limits=config.limits,
        )
        if not is_sandboxed and not self.is_unsandboxed_allowed and drives_real_model(admitted):
            raise UnsandboxedRefused
        return admitted

    def _auth_mode(self, config: WorkerConfig) -> AuthMode:
        if AGENTS[config.agent_type].api_key_variable is None:
            return AuthMode.NONE
        mode = config.auth_mode or self.default_auth_mode
        if mode is None:
            raise AuthMissing("the command names no auth_mode and DEFAULT_AUTH_MODE is not set")
        return mode

    def _api_key(self, config: WorkerConfig, mode: AuthMode) -> str | None:
        if mode is not AuthMode.API_KEY:
            return None
        key = config.api_key or (self.api_keys or {}).get(config.agent_type)
        if key is None or not key.get_secret_value():
            raise AuthMissing(f"auth_mode api_key, but {AGENTS[config.agent_type].api_key_variable} is not set")
        return key.get_secret_value()

    def _claude_dir(self, config: WorkerConfig, mode: AuthMode) -> str | None:
        if mode is not AuthMode.HOST_SESSION:
            return None
        if config.agent_type is not AgentType.CLAUDE:
            raise InvalidConfig("auth_mode host_session exists for Claude only")
        directory = config.host_claude_dir or self.host_claude_dir
        if not directory:
            raise AuthMissing("auth_mode host_session, but neither host_claude_dir nor HOST_CLAUDE_DIR is set")
        return directory


def _check_variables(env_vars: Mapping[str, str]) -> None:
    for name in env_vars:
        if not _NAME.fullmatch(name) or "\0" in env_vars[name]:
            raise InvalidConfig(f"env_vars: {name!r} is not a usable variable")
        if name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES):
            raise InvalidConfig(f"env_vars: {name} is set by the platform")


def drives_real_model(config: WorkerContainerConfig) -> bool:
    """Tell whether this worker's agent would talk to a real model with a credential worth protecting."""
    if AGENTS[AgentType(config.agent_type)].api_key_variable is None:
        return False
    if config.auth_mode == AuthMode.HOST_SESSION:
        return True
    has_key = bool(config.api_key) or any(config.env_vars.get(name) for name in LLM_KEY_NAMES)
    base_url = config.env_vars.get("ANTHROPIC_BASE_URL", config.anthropic_base_url or "")
    return has_key and not is_loopback(base_url)


def is_loopback(url: str) -> bool:
    """Tell whether a URL's host is this machine by name or address."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
