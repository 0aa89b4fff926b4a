"""Maps one worker's configuration to environment, mounts and container arguments; decides and refuses nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.contracts.queues.workers import WorkerContext, WorkerLimits
from shared.contracts.vocabulary import AgentType, AuthMode, WorkerCapability
from worker_manager.agents import AGENTS
from worker_manager.agents.base import WORKSPACE_DIR

CONTAINER_HOME = "/home/worker"
CONTAINER_USER = "worker"
CONTAINER_UID = 10001
DOCKER_SOCKET = "/var/run/docker.sock"
NAME_PREFIX = "worker-"


@dataclass(frozen=True, slots=True)
class WorkerContainerConfig:
    worker_id: str
    worker_type: str
    agent_type: str
    capabilities: Sequence[str] = ()
    allowed_commands: Sequence[str] = ()
    auth_mode: str | None = None
    host_claude_dir: str | None = None
    api_key: str | None = field(default=None, repr=False)
    anthropic_base_url: str | None = None
    env_vars: Mapping[str, str] = field(default_factory=dict, repr=False)
    pooled: bool = True
    context: WorkerContext = field(default_factory=WorkerContext)
    network_name: str | None = None
    limits: WorkerLimits = field(default_factory=WorkerLimits)

    @property
    def container_name(self) -> str:
        return NAME_PREFIX + self.worker_id

    def to_env_vars(self, redis_url: str, api_url: str, api_token: str | None = None) -> dict[str, str]:
        """Return the worker's environment; the platform's own names win over `env_vars`."""
        env = dict(AGENTS[AgentType(self.agent_type)].environment())
        env["GIT_TERMINAL_PROMPT"] = "0"
        if self.anthropic_base_url:
            env["ANTHROPIC_BASE_URL"] = self.anthropic_base_url
        env.update(self._credential())
        env.update(self.env_vars)
        env.update(self._platform(redis_url, api_url, api_token))
        return env

    def _credential(self) -> dict[str, str]:
        variable = AGENTS[AgentType(self.agent_type)].api_key_variable
        if self.auth_mode != AuthMode.API_KEY or not self.api_key or variable is None:
            return {}
        return {variable: self.api_key}

    def _platform(self, redis_url: str, api_url: str, api_token: str | None) -> dict[str, str]:
        values = {
            "WORKER_ID": self.worker_id,
            "WORKER_TYPE": str(self.worker_type),
            "AGENT_TYPE": str(self.agent_type),
            "WORKER_POOLED": "1" if self.pooled else "0",
            "CAPABILITIES": json.dumps([WorkerCapability(capability).value for capability in self.capabilities]),
            "ALLOWED_COMMANDS": json.dumps(list(self.allowed_commands)),
            "REDIS_URL": redis_url,
            "API_URL": api_url,
            "API_TOKEN": api_token,
            "USER_ID": self.context.user_id,
            "TASK_ID": self.context.task_id,
            "RUN_ID": self.context.run_id,
            "PROJECT_ID": self.context.project_id,
        }
        return {name: value for name, value in values.items() if value is not None}

    def to_volume_mounts(self) -> dict[str, dict[str, str]]:
        """Return bind mounts: host path → {bind, mode}."""
        mounts: dict[str, dict[str, str]] = {}
        if self.auth_mode == AuthMode.HOST_SESSION and self.host_claude_dir:
            mounts[self.host_claude_dir] = {"bind": f"{CONTAINER_HOME}/.claude", "mode": "rw"}
        if WorkerCapability.DOCKER in {WorkerCapability(capability) for capability in self.capabilities}:
            mounts[DOCKER_SOCKET] = {"bind": DOCKER_SOCKET, "mode": "rw"}
        return mounts

    def to_docker_run_kwargs(
        self, image: str, environment: Mapping[str, str], labels: Mapping[str, str] | None = None
    ) -> dict[str, object]:
        """Return keyword arguments for the engine's `containers.run`, hardened by default."""
        owned = f"uid={CONTAINER_UID},gid={CONTAINER_UID}"
        kwargs: dict[str, object] = {
            "image": image,
            "name": self.container_name,
            "detach": True,
            "environment": dict(environment),
            "volumes": self.to_volume_mounts(),
            "labels": dict(labels or {}),
            "user": CONTAINER_USER,
            "working_dir": WORKSPACE_DIR,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "pids_limit": self.limits.pids,
            "mem_limit": f"{self.limits.memory_mb}m",
            "memswap_limit": f"{self.limits.memory_mb}m",
            "nano_cpus": int(self.limits.cpus * 1_000_000_000),
            "read_only": True,
            # The engine's default is noexec, under which no script of a workspace runs.
            "tmpfs": {
                "/tmp": "rw,exec,mode=1777,size=256m",  # noqa: S108 - a mount point inside the container
                CONTAINER_HOME: f"rw,exec,{owned},mode=700",
            },
            "restart_policy": {"Name": "no"},
        }
        if self.network_name:
            kwargs["network"] = self.network_name
        return kwargs
