"""The processes of a stack: each service with the command its image uses, each emulator, the stores, the server."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from local_stack.children import ChildSpec
from local_stack.credentials import Credentials
from local_stack.layout import Layout
from local_stack.ports import APPLICATION_PORTS, Ports
from local_stack.settings import StackSettings
from local_stack.sweep import STACK_MARK
from shared.runtime.settings import passed_on_environment

HOST = "127.0.0.1"
DEMO_USER_ID = 1_000_001
RUNNER_UID = 190_000
WORKER_UID_START = 200_000
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
GITHUB_EMULATED_OWNER = "acme"
ROWS = frozenset({"api", "relay"})  # stopped after the services, which write their last rows through them


@dataclass(frozen=True, slots=True)
class StackPlan:
    """Everything the builders below need to know about one stack."""

    settings: StackSettings
    layout: Layout
    ports: Ports
    credentials: Credentials
    github_private_key: Path
    github_public_key: Path
    scripts: tuple[Path, ...] = ()
    poll_interval_seconds: float = 0.5
    reconcile_interval_seconds: float = 5.0

    def url(self, port: int) -> str:
        return f"http://{HOST}:{port}"

    @property
    def api_url(self) -> str:
        return self.url(self.ports.api)

    @property
    def telegram_url(self) -> str:
        return self.url(self.ports.telegram)

    @property
    def anthropic_url(self) -> str:
        return self.url(self.ports.anthropic)

    @property
    def github_url(self) -> str:
        return "https://api.github.com" if self.settings.is_github_real else self.url(self.ports.github)

    @property
    def redis_url(self) -> str:
        return f"redis://:{self.credentials.redis_password}@{HOST}:{self.ports.redis}/0"

    def database_url(self, role: str = "orchestrator") -> str:
        password = self.credentials.postgres_password
        return f"postgresql://{role}:{password}@{HOST}:{self.ports.postgres}/orchestrator"

    def base_env(self) -> dict[str, str]:
        """Return what every child gets: the host's paths and certificates, a home, and the stack's mark."""
        tools = Path(sys.executable).parent
        environment = passed_on_environment()
        environment["PATH"] = f"{tools}:{environment.get('PATH', SYSTEM_PATH)}"
        environment[STACK_MARK] = str(self.layout.home)
        environment["HOME"] = os.path.expanduser("~")
        environment["PYTHONUNBUFFERED"] = "1"
        return environment

    def service_env(self, service: str, port: int, extra: dict[str, str] | None = None) -> dict[str, str]:
        """Return a service's environment: the common settings and its own."""
        return {
            **self.base_env(),
            "API_URL": self.api_url,
            "API_TOKEN": self.credentials.service_token(service),
            "REDIS_URL": self.redis_url,
            "HTTP_HOST": HOST,
            "HTTP_PORT": str(port),
            "LOG_LEVEL": self.settings.log_level,
            "LOG_FORMAT": "json",
            "SERVICE_REPLICA": "1",
            **(extra or {}),
        }

    def github_env(self) -> dict[str, str]:
        settings = self.settings
        if settings.is_github_real:
            return {
                "GITHUB_API_URL": "https://api.github.com",
                "GITHUB_WEB_URL": "https://github.com",
                "GITHUB_APP_ID": settings.github_app_id or "",
                "GITHUB_APP_PRIVATE_KEY_FILE": str(settings.github_app_private_key_file or ""),
                "GITHUB_OWNER": settings.github_owner or "",
            }
        return {
            "GITHUB_API_URL": self.github_url,
            "GITHUB_WEB_URL": self.github_url,
            "GITHUB_APP_ID": self.credentials.github_app_id,
            "GITHUB_APP_PRIVATE_KEY_FILE": str(self.github_private_key),
            "GITHUB_OWNER": GITHUB_EMULATED_OWNER,
        }

    def telegram_env(self) -> dict[str, str]:
        if self.settings.is_telegram_real:
            assert self.settings.telegram_bot_token is not None
            return {
                "TELEGRAM_BOT_TOKEN": self.settings.telegram_bot_token.get_secret_value(),
                "TELEGRAM_ALLOWED_USERS": self.settings.telegram_allowed_users,
                "TELEGRAM_ADMINS": self.settings.telegram_admins,
            }
        return {
            "TELEGRAM_BOT_TOKEN": self.credentials.telegram_token,
            "TELEGRAM_API_URL": self.telegram_url,
            "TELEGRAM_ALLOWED_USERS": self.settings.telegram_allowed_users or str(DEMO_USER_ID),
            "TELEGRAM_ADMINS": self.settings.telegram_admins or str(DEMO_USER_ID),
        }

    def worker_env(self) -> dict[str, str]:
        extra = {
            "WORKER_RUNTIME": "process",
            "WORKERS_DIR": str(self.layout.workers),
            "WORKER_API_URL": self.api_url,
            "WORKER_REDIS_URL": self.redis_url,
            "WORKER_PATH": f"{self.layout.worker_bin}:{SYSTEM_PATH}",
            "WORKER_UID_START": str(WORKER_UID_START),
            "MAX_CONCURRENT_WORKERS": str(self.settings.max_concurrent_workers),
            "UNSANDBOXED": str(self.settings.unsandboxed).lower(),
            "DEFAULT_AUTH_MODE": "api_key",
        }
        if self.settings.anthropic_api_key is not None:
            extra["ANTHROPIC_API_KEY"] = self.settings.anthropic_api_key.get_secret_value()
        else:
            extra["ANTHROPIC_API_KEY"] = self.credentials.anthropic_key
            extra["ANTHROPIC_BASE_URL"] = self.anthropic_url
        return extra


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, *arguments)


def emulator_specs(plan: StackPlan) -> list[ChildSpec]:
    """Return the emulators that stand in where no credential is set."""
    settings, ports, state = plan.settings, plan.ports, plan.layout.emulators
    specs = []
    if not settings.is_llm_real:
        scripts = [word for script in plan.scripts for word in ("--script", str(script))]
        options = ("--state", str(state / "anthropic"), "--api-key", plan.credentials.anthropic_key, *scripts)
        specs.append(_emulator(plan, "anthropic", ports.anthropic, options))
    if not settings.is_telegram_real:
        options = ("--state", str(state / "telegram"), "--token", plan.credentials.telegram_token)
        specs.append(_emulator(plan, "telegram", ports.telegram, options))
    if not settings.is_github_real:
        runner = ("--runner-uid", str(RUNNER_UID)) if os.geteuid() == 0 else ()
        options = (
            *("--state", str(state / "github"), "--app-id", plan.credentials.github_app_id),
            *("--app-public-key", str(plan.github_public_key), "--owner", GITHUB_EMULATED_OWNER),
            *("--runner-path", str(plan.layout.worker_bin), "--runner-caches", str(plan.layout.runner_caches), *runner),
        )
        specs.append(_emulator(plan, "github", ports.github, options))
    return specs


def _emulator(plan: StackPlan, name: str, port: int, options: tuple[str, ...]) -> ChildSpec:
    command = _python("-m", "emulators", name, "--host", HOST, "--port", str(port), *options)
    return ChildSpec(
        name=f"emulator-{name}",
        command=command,
        env=plan.base_env(),
        ready_url=f"{plan.url(port)}/livez",
        stop_order=3,
        is_service=False,
        port=port,
    )


def service_specs(plan: StackPlan) -> list[ChildSpec]:
    """Return the services, each a process of its own."""
    ports, credentials = plan.ports, plan.credentials
    database = {"DATABASE_URL": plan.database_url()}
    deploy = {"DEPLOY_TOKEN": credentials.deploy_token}
    table: list[tuple[str, str, int, dict[str, str]]] = [
        ("api", "orchestrator_api", ports.api, {**database, "API_JWT_SECRET": credentials.api_jwt_secret}),
        ("relay", "orchestrator_api.relay", ports.relay, database),
        ("worker-manager", "worker_manager", ports.worker_manager, plan.worker_env()),
        (
            "langgraph",
            "agent_graphs",
            ports.langgraph,
            {
                **plan.github_env(),
                **deploy,
                "CHECKPOINT_DATABASE_URL": plan.database_url("checkpoints"),
                "ATTEMPT_SECRET": credentials.attempt_secret,
                "AGENT_TYPE": "claude",
                "POLL_INTERVAL_SECONDS": str(plan.poll_interval_seconds),
                "STAGE_TIMEOUT_SECONDS": str(plan.settings.stage_timeout_seconds),
                "LANGGRAPH_STRICT_MSGPACK": "true",
            },
        ),
        ("scaffolder", "scaffolder", ports.scaffolder, plan.github_env()),
        (
            "scheduler",
            "orchestrator_scheduler",
            ports.scheduler,
            {
                "RECONCILE_INTERVAL_SECONDS": str(plan.reconcile_interval_seconds),
                "PROVISIONER_INTERVAL_SECONDS": "2",
            },
        ),
        (
            "infra-service",
            "infra_service",
            ports.infra_service,
            {**deploy, "SERVER_DIR": str(plan.layout.server), "SERVER_PORT": str(ports.server)},
        ),
        ("telegram-bot", "telegram_bot", ports.telegram_bot, {**plan.telegram_env(), "AGENT_TYPE": "claude"}),
    ]
    return [
        ChildSpec(
            name=name,
            command=_python("-m", module),
            env=plan.service_env(name, port, extra),
            ready_url=f"{plan.url(port)}/readyz",
            stop_order=2 if name in ROWS else 1,
            port=port,
        )
        for name, module, port, extra in table
    ]


def server_config(layout: Layout) -> Path:
    """Return the file from which the embedded server's daemon learns its port."""
    return layout.server / "etc" / "appd.json"


def server_spec(plan: StackPlan) -> ChildSpec:
    """Return the embedded server's daemon: it exists once infra-service has prepared the server."""
    daemon = plan.layout.server / "bin" / "appd"
    environment = plan.base_env() | {"PATH": f"{plan.layout.worker_bin}:{SYSTEM_PATH}"}
    python = shutil.which("python3", path=SYSTEM_PATH) or sys.executable
    return ChildSpec(
        name="server",
        command=(python, str(daemon), "--root", str(plan.layout.server)),
        env=environment,
        ready_url=f"{plan.url(plan.ports.server)}/livez",
        requires=server_config(plan.layout),
        stop_order=3,
        is_service=False,
        port=plan.ports.server,
    )


def migrate_command(plan: StackPlan) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the command and environment that bring the database to the newest revision."""
    environment = {**plan.base_env(), "DATABASE_URL": plan.database_url()}
    return _python("-m", "orchestrator_api.migrate"), environment


def application_ports(plan: StackPlan) -> tuple[int, int]:
    """Return the range applications on the embedded server listen in, both ends included."""
    return plan.ports.applications, plan.ports.applications + APPLICATION_PORTS - 1


STORE_STOP_SIGNAL = signal.SIGINT
