"""One running stack: stores, emulators, services and server under one supervisor."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from local_stack.agents import ensure_claude, point
from local_stack.children import Child
from local_stack.credentials import Credentials, ensure_github_key
from local_stack.errors import AlreadyRunning, StackError
from local_stack.layout import Layout
from local_stack.plan import (
    ROWS,
    StackPlan,
    emulator_specs,
    migrate_command,
    server_spec,
    service_specs,
)
from local_stack.ports import claimed_ports
from local_stack.server import forget_other_port, register_server
from local_stack.settings import StackSettings
from local_stack.stores import Stores
from local_stack.supervisor import Supervisor
from local_stack.sweep import sweep
from shared.clients.api import ApiClient

START_DEADLINE_SECONDS = 90

Say = Callable[[str], None]


def layout_for(settings: StackSettings, home: Path | None = None) -> Layout:
    """Return the paths of a stack; a stack with its own home still shares binaries and caches."""
    return Layout(home=(home or settings.codegen_home).resolve(), shared_home=settings.codegen_home.resolve())


class Stack:
    """`async with Stack(...)`: everything runs inside, nothing is left behind after."""

    def __init__(
        self, settings: StackSettings, layout: Layout, *, scripts: tuple[Path, ...] = (), say: Say = lambda text: None
    ) -> None:
        self.settings = settings
        self.layout = layout
        self._scripts = scripts
        self._say = say
        self._undo = AsyncExitStack()
        self._started_at = time.monotonic()
        self.plan: StackPlan
        self.supervisor: Supervisor
        self.api: ApiClient

    async def __aenter__(self) -> Self:
        async with self._undo:
            await self._start()
            self._undo = self._undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._undo.aclose()

    async def _start(self) -> None:
        self.layout.create()
        self._lock()
        left = sweep(self.layout.home)
        if left:
            self._say(f"ended {len(left)} processes an earlier stack left behind")
        claude = asyncio.create_task(self._ensure_agents())
        self._undo.callback(claude.cancel)
        self.plan = self._plan()
        forget_other_port(self.layout, self.plan.ports.server)
        self.supervisor = Supervisor(self.layout.logs, self._on_event)
        self._undo.push_async_callback(self._stop)
        for spec in emulator_specs(self.plan):
            self.supervisor.add(spec)
        stores = Stores(self.plan)
        for store in await stores.specs():
            self.supervisor.add(store)
        await self.supervisor.wait_ready(["redis"], START_DEADLINE_SECONDS)
        await stores.ensure_databases()
        migration = asyncio.create_task(self._migrate())
        self._undo.callback(migration.cancel)
        # The api and the relay need the tables; the others start meanwhile and wait for the api.
        services = [*service_specs(self.plan), server_spec(self.plan)]
        for spec in services:
            if spec.name not in ROWS:
                self.supervisor.add(spec)
        await migration
        for spec in services:
            if spec.name in ROWS:
                self.supervisor.add(spec)
        await claude
        token = self.plan.credentials.service_token("local-stack")
        self.api = ApiClient(self.plan.api_url, token)
        self._undo.push_async_callback(self.api.aclose)
        await self.supervisor.wait_ready(["api"], START_DEADLINE_SECONDS)
        await register_server(self.api, self.plan)
        # The server is prepared by then or a little later; only a first deployment needs it.
        awaited = [name for name, child in self.supervisor.children.items() if child.spec.requires is None]
        await self.supervisor.wait_ready(awaited, START_DEADLINE_SECONDS)
        self._say(f"everything is ready after {time.monotonic() - self._started_at:.1f} s")

    def _lock(self) -> None:
        lock: IO[str] = self.layout.lock_file.open("a")
        self._undo.callback(lock.close)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"a stack is already running in {self.layout.home}: stop it with `codegen down`"
            ) from None

    def _plan(self) -> StackPlan:
        private, public = ensure_github_key(self.layout.keys)
        return StackPlan(
            settings=self.settings,
            layout=self.layout,
            ports=self._undo.enter_context(claimed_ports(self.layout.home / "ports.json")),
            credentials=Credentials.load_or_create(self.layout.keys),
            github_private_key=private,
            github_public_key=public,
            scripts=self._scripts,
        )

    async def _ensure_agents(self) -> None:
        binary = self.settings.claude_binary or await ensure_claude(self.layout.agents)
        tools = Path(sys.executable).parent
        links = {"claude": binary, "orchestrator": tools / "orchestrator"}
        for name in ("uv",):
            found = shutil.which(name, path=f"{tools}:{os.defpath}")
            if found is not None:
                links[name] = Path(found)
        for name, target in links.items():
            point(self.layout.worker_bin / name, target)

    async def _migrate(self) -> None:
        command, environment = migrate_command(self.plan)
        with (self.layout.logs / "migrate.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
            if await process.wait() != 0:
                raise StackError(f"the database migration failed; see {self.layout.logs / 'migrate.log'}")

    def _on_event(self, event: str, child: Child) -> None:
        if event == "exited":
            self._say(f"{child.spec.name} ended with {child.last_exit}; starting it again")
        try:
            self.write_state()
        except OSError as error:
            self._say(f"{self.layout.state_file} cannot be written: {error}")

    def write_state(self) -> None:
        """Publish who runs where, for `codegen status` and the demo's report."""
        state = {
            "pid": os.getpid(),
            "children": {
                name: {
                    "pid": child.pid,
                    "port": child.spec.port,
                    "is_ready": child.is_ready,
                    "restarts": child.restarts,
                    "log": str(child.log_path),
                }
                for name, child in self.supervisor.children.items()
            },
            "urls": {"api": self.plan.api_url, "telegram": self.plan.telegram_url, "server": self.server_url},
            "real": self.real_parts(),
            "emulated": self.emulated_parts(),
        }
        partial = self.layout.state_file.with_suffix(".partial")
        partial.write_text(json.dumps(state, indent=1))
        partial.replace(self.layout.state_file)

    @property
    def server_url(self) -> str:
        return self.plan.url(self.plan.ports.server)

    def real_parts(self) -> list[str]:
        """Return which parts are the real thing."""
        always = ["PostgreSQL", "Redis", "git", "Claude Code", "Ansible", "copier", "uvicorn"]
        settings = self.settings
        optional = [
            ("Anthropic API", settings.is_llm_real),
            ("GitHub", settings.is_github_real),
            ("Telegram", settings.is_telegram_real),
        ]
        return always + [name for name, is_real in optional if is_real]

    def emulated_parts(self) -> list[str]:
        """Return which parts an emulator stands in for."""
        settings = self.settings
        optional = [
            ("Anthropic API", settings.is_llm_real),
            ("GitHub", settings.is_github_real),
            ("Telegram", settings.is_telegram_real),
        ]
        return [name for name, is_real in optional if not is_real]

    async def _stop(self) -> None:
        self._say("stopping")
        await self.supervisor.stop()
        sweep(self.layout.home)
        self.layout.state_file.unlink(missing_ok=True)
