"""Workers as plain processes of this host: own directory, own user when we are root, an environment we chose.

Not a sandbox: the file system, the network and the kernel are the host's. A worker's shim, not this process, is its
parent, so workers live on when the manager dies, and a manager that comes back adopts them.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from shared.contracts.vocabulary import AgentType, AuthMode
from shared.logging import get_logger
from worker_manager.agents import AGENTS
from worker_manager.errors import RuntimeFailed, RuntimeUnavailable
from worker_manager.image_builder import ImageRecipe
from worker_manager.runtime import processes
from worker_manager.runtime.directory import Limits, ProcessSpec, WorkerDirectory, list_directories
from worker_manager.runtime.launcher import ShimLauncher
from worker_manager.runtime.port import (
    ExecResult,
    InstanceState,
    RuntimeEvent,
    RuntimeEventKind,
    SameHostRuntime,
    WorkerInstance,
    WorkerSpec,
)
from worker_manager.runtime.users import UserAllocator
from worker_manager.runtime.watch import ExitWatcher

KILLED_SECONDS = 5.0
HOST_SESSION_FILES = (".credentials.json", "settings.json")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ProcessRuntimeOptions:
    """`environment` is what every worker gets beside its own (PATH, LANG, certificates); nothing is inherited."""

    root: Path
    command: tuple[str, ...]
    python: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    uid_start: int = 200_000
    is_privileged: bool = False
    grace_seconds: float = 10.0


class ProcessRuntime:
    """Fills both ports with processes under one directory, which belongs to one manager at a time."""

    name = "process"
    is_sandboxed = False

    def __init__(self, options: ProcessRuntimeOptions) -> None:
        self._options = options
        self._events: asyncio.Queue[RuntimeEvent | None] = asyncio.Queue()
        self._watcher = ExitWatcher(self._finish)
        self._launcher = ShimLauncher(options.python)
        self._users = UserAllocator(options.root, options.uid_start)
        self._allocation = asyncio.Lock()
        self._lock: int | None = None

    @property
    def same_host(self) -> SameHostRuntime:
        return self

    async def open(self) -> None:
        root = self._options.root
        await asyncio.to_thread(root.mkdir, mode=0o711, parents=True, exist_ok=True)
        self._lock = await asyncio.to_thread(_lock_root, root)
        for instance in await self.list():
            await self._watch(instance.worker_id)

    async def close(self) -> None:
        await self._watcher.close()
        self._events.put_nowait(None)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def ensure_image(self, recipe: ImageRecipe) -> str:
        """Return the interpreter that runs the wrapper: a process worker uses what the host has."""
        return self._options.python

    async def create(self, spec: WorkerSpec) -> WorkerInstance:
        directory = self._directory(spec.worker_id)
        existing = await asyncio.to_thread(directory.instance)
        if existing is not None and existing.state is not InstanceState.CREATED:
            return existing
        async with self._allocation:
            uid = await asyncio.to_thread(self._users.allocate) if self._options.is_privileged else None
            try:
                await asyncio.to_thread(directory.prepare, self._process_spec(spec, uid), self._files(spec))
            except OSError as error:
                raise RuntimeFailed(f"cannot prepare the directory of worker {spec.worker_id}: {error}") from error
        return await self._known(spec.worker_id)

    async def start(self, worker_id: str) -> WorkerInstance:
        instance = await self._known(worker_id)
        if instance.state is InstanceState.CREATED:
            await self._launcher.start(self._directory(worker_id).run)
            instance = await self._known(worker_id)
            self._events.put_nowait(RuntimeEvent(worker_id, RuntimeEventKind.STARTED))
        await self._watch(worker_id)
        return instance

    async def stop(self, worker_id: str, *, grace_seconds: float) -> None:
        directory = self._directory(worker_id)
        supervised = await asyncio.to_thread(directory.supervised)
        if supervised is not None and supervised.shim.is_alive():
            await self._watch(worker_id)
            await self.unpause(worker_id)
            with suppress(ProcessLookupError):
                os.kill(supervised.shim.pid, signal.SIGTERM)
            await self._watcher.wait(worker_id, grace_seconds)
        await self._kill(directory)

    async def remove(self, worker_id: str) -> None:
        directory = self._directory(worker_id)
        await self._kill(directory)
        try:
            await asyncio.to_thread(directory.delete)
        except OSError as error:
            raise RuntimeFailed(f"cannot delete what worker {worker_id} left: {error}") from error
        self._watcher.forget(worker_id)

    async def inspect(self, worker_id: str) -> WorkerInstance | None:
        return await asyncio.to_thread(self._directory(worker_id).instance)

    async def list(self) -> list[WorkerInstance]:
        def scan() -> list[WorkerInstance]:
            found = []
            for directory in list_directories(self._options.root):
                directory.bound_log()
                instance = directory.instance()
                if instance is not None:
                    found.append(instance)
            return found

        return await asyncio.to_thread(scan)

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def pause(self, worker_id: str) -> None:
        directory = self._directory(worker_id)

        def freeze() -> None:
            directory.mark_paused(is_paused=True)
            processes.signal_all(directory.members(), signal.SIGSTOP)

        if (await self._known(worker_id)).state is InstanceState.RUNNING:
            await asyncio.to_thread(freeze)

    async def unpause(self, worker_id: str) -> None:
        directory = self._directory(worker_id)

        def thaw() -> None:
            processes.signal_all(directory.members(), signal.SIGCONT)
            directory.mark_paused(is_paused=False)

        if (await self._known(worker_id)).state is InstanceState.PAUSED:
            await asyncio.to_thread(thaw)

    async def exec(self, worker_id: str, command: Sequence[str], *, timeout_seconds: float = 60) -> ExecResult:
        if not (await self._known(worker_id)).is_live:
            raise RuntimeFailed(f"worker {worker_id} does not run")
        run_dir = self._directory(worker_id).run
        return ExecResult(*await self._launcher.run_inside(run_dir, list(command), timeout_seconds))

    def _directory(self, worker_id: str) -> WorkerDirectory:
        if PurePosixPath(worker_id).name != worker_id or worker_id.startswith("."):
            raise RuntimeFailed(f"not a worker id: {worker_id!r}")
        return WorkerDirectory(self._options.root, worker_id)

    async def _known(self, worker_id: str) -> WorkerInstance:
        instance = await self.inspect(worker_id)
        if instance is None:
            raise RuntimeFailed(f"worker {worker_id} does not exist")
        return instance

    def _process_spec(self, spec: WorkerSpec, uid: int | None) -> ProcessSpec:
        directory = self._directory(spec.worker_id)
        own = {
            "HOME": str(directory.home),
            "TMPDIR": str(directory.temporary),
            "WORKSPACE": str(directory.workspace),
            "UV_CACHE_DIR": str(directory.home / ".cache" / "uv"),
            "USER": "worker",
            "LOGNAME": "worker",
            "SHELL": "/bin/bash",
        }
        return ProcessSpec(
            worker_id=spec.worker_id,
            uid=uid,
            gid=uid,
            command=list(self._options.command),
            env={**self._options.environment, **spec.environment, **own},
            cwd=str(directory.workspace),
            log=str(directory.log),
            limits=Limits(pids=spec.container.limits.pids),
            labels=dict(spec.labels),
            created_at=datetime.now(UTC),
            grace_seconds=self._options.grace_seconds,
        )

    def _files(self, spec: WorkerSpec) -> dict[Path, str]:
        """Return the files to put into the worker's directories: instructions, and a copied login if asked for."""
        directory = self._directory(spec.worker_id)
        files: dict[Path, str] = {}
        if spec.instructions:
            path = AGENTS[AgentType(spec.container.agent_type)].get_instruction_path()
            files[directory.workspace / PurePosixPath(path).name] = spec.instructions
        if spec.container.auth_mode == AuthMode.HOST_SESSION and spec.container.host_claude_dir:
            for name in HOST_SESSION_FILES:
                source = Path(spec.container.host_claude_dir) / name
                if source.is_file():
                    files[directory.home / ".claude" / name] = source.read_text(encoding="utf-8")
        return files

    async def _watch(self, worker_id: str) -> None:
        supervised = await asyncio.to_thread(self._directory(worker_id).supervised)
        if supervised is not None:
            self._watcher.watch(worker_id, supervised.shim)

    async def _finish(self, worker_id: str) -> None:
        """Clear what a shim that was itself killed left running, then tell of the death."""
        directory = self._directory(worker_id)
        await asyncio.to_thread(lambda: processes.kill_all(directory.members()))
        instance = await self.inspect(worker_id)
        if instance is not None:
            self._events.put_nowait(RuntimeEvent(worker_id, RuntimeEventKind.DIED, instance.exit_code, instance.is_oom))

    async def _kill(self, directory: WorkerDirectory) -> None:
        """End every process of a worker now; its shim writes the exit code and ends by itself."""
        supervised = await asyncio.to_thread(directory.supervised)
        if supervised is None:
            return
        await asyncio.to_thread(lambda: processes.kill_all(directory.members()))
        if not supervised.shim.is_alive():
            return
        await self._watch(directory.worker_id)
        if not await self._watcher.wait(directory.worker_id, KILLED_SECONDS):
            log.warning("the shim of a worker did not end by itself", worker_id=directory.worker_id)
            with suppress(ProcessLookupError):
                os.kill(supervised.shim.pid, signal.SIGKILL)


def _lock_root(root: Path) -> int:
    """Take the directory for this process; the kernel gives it back when we die."""
    descriptor = os.open(root / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise RuntimeUnavailable(f"another worker-manager owns {root}") from error
    return descriptor
