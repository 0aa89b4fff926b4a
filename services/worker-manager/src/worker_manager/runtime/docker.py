"""Workers as hardened containers of a Docker engine: found by label, so that a manager that comes back adopts them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.contracts.vocabulary import AgentType
from worker_manager.agents import AGENTS
from worker_manager.container_config import NAME_PREFIX
from worker_manager.docker_images import ImageStore
from worker_manager.docker_ops import Attributes, DockerClientWrapper
from worker_manager.errors import RuntimeFailed, RuntimeUnavailable
from worker_manager.events import KILLED_EXIT_CODE, WORKER_LABEL, DeathReader
from worker_manager.image_builder import LABEL_PREFIX, ImageRecipe
from worker_manager.runtime.docker_events import EventFeed
from worker_manager.runtime.port import (
    ExecResult,
    InstanceState,
    RuntimeEvent,
    RuntimeEventKind,
    SameHostRuntime,
    WorkerInstance,
    WorkerSpec,
)

INSTALLATION_LABEL = f"{LABEL_PREFIX}.installation"
RECORD_LABEL = f"{LABEL_PREFIX}.record."
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
LOOK_SECONDS = 0.05
TERM_AGAIN_SECONDS = 1.0
KILLED_SECONDS = 10.0
_STATES = {
    "created": InstanceState.CREATED,
    "running": InstanceState.RUNNING,
    "paused": InstanceState.PAUSED,
}


@dataclass(frozen=True, slots=True)
class DockerRuntimeOptions:
    """`environment` is what every worker gets beside its own; `ca_bundle` a file of the engine's host, mounted."""

    installation: str
    network: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_bundle: str = ""
    oci_runtime: str = ""
    entrypoint: tuple[str, ...] = ()


class DockerRuntime:
    """Fills both ports. Containers of other installations on the same engine are not seen."""

    name = "docker"
    is_sandboxed = True

    def __init__(self, engine: DockerClientWrapper, images: ImageStore, options: DockerRuntimeOptions) -> None:
        self._engine = engine
        self._images = images
        self._options = options
        self._labels = (f"{INSTALLATION_LABEL}={options.installation}", WORKER_LABEL)
        self._events: asyncio.Queue[RuntimeEvent | None] = asyncio.Queue()
        self._reader = DeathReader()
        self._feed = EventFeed(engine, self._labels, self._hear)

    @property
    def same_host(self) -> SameHostRuntime:
        return self

    async def open(self) -> None:
        try:
            await self._engine.ping()
        except RuntimeFailed as error:
            raise RuntimeUnavailable(f"no Docker engine answers: {error}") from error
        self._feed.start()
        for instance in await self.list():
            if instance.state is InstanceState.EXITED:
                self._tell_death(instance.worker_id, instance.exit_code, is_oom=instance.is_oom)

    async def close(self) -> None:
        await self._feed.close()
        self._events.put_nowait(None)
        await self._engine.close()

    async def ensure_image(self, recipe: ImageRecipe) -> str:
        return await self._images.ensure(recipe)

    @property
    def images(self) -> ImageStore:
        return self._images

    async def create(self, spec: WorkerSpec) -> WorkerInstance:
        existing = await self.inspect(spec.worker_id)
        if existing is not None and existing.state is not InstanceState.CREATED:
            return existing
        if existing is not None:
            await self.remove(spec.worker_id)
        await self._engine.create(self._arguments(spec), _files(spec))
        return await self._known(spec.worker_id)

    async def start(self, worker_id: str) -> WorkerInstance:
        instance = await self._known(worker_id)
        if instance.state is InstanceState.CREATED:
            await self._engine.start(_name(worker_id))
            self._events.put_nowait(RuntimeEvent(worker_id, RuntimeEventKind.STARTED))
            instance = await self._known(worker_id)
        return instance

    async def stop(self, worker_id: str, *, grace_seconds: float) -> None:
        instance = await self.inspect(worker_id)
        if instance is None or not instance.is_live:
            return
        await self.unpause(worker_id)
        deadline = time.monotonic() + grace_seconds
        while (left := deadline - time.monotonic()) > 0:
            # Sent again: the first process of a container does not even notice it before it listens for it.
            await self._engine.signal(_name(worker_id), "SIGTERM")
            if await self._has_ended(worker_id, min(TERM_AGAIN_SECONDS, left)):
                return
        await self._engine.signal(_name(worker_id), "SIGKILL")
        if not await self._has_ended(worker_id, KILLED_SECONDS):
            raise RuntimeFailed(f"worker {worker_id} still runs {KILLED_SECONDS:.0f} s after SIGKILL")

    async def remove(self, worker_id: str) -> None:
        deadline = time.monotonic() + KILLED_SECONDS
        while await self.inspect(worker_id) is not None:
            if not await self._engine.remove(_name(worker_id)):
                await asyncio.sleep(LOOK_SECONDS)
            if time.monotonic() > deadline:
                raise RuntimeFailed(f"the container of worker {worker_id} cannot be removed")

    async def inspect(self, worker_id: str) -> WorkerInstance | None:
        attributes = await self._engine.inspect(_name(worker_id))
        if attributes is None:
            return None
        instance = _instance(attributes)
        is_ours = _labels(attributes).get(INSTALLATION_LABEL) == self._options.installation
        return instance if is_ours and instance.worker_id == worker_id else None

    async def list(self) -> list[WorkerInstance]:
        found = [_instance(attributes) for attributes in await self._engine.containers(self._labels)]
        return sorted(found, key=lambda instance: instance.worker_id)

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def pause(self, worker_id: str) -> None:
        if (await self._known(worker_id)).state is InstanceState.RUNNING:
            await self._engine.pause(_name(worker_id))

    async def unpause(self, worker_id: str) -> None:
        if (await self._known(worker_id)).state is InstanceState.PAUSED:
            await self._engine.unpause(_name(worker_id))

    async def exec(self, worker_id: str, command: Sequence[str], *, timeout_seconds: float = 60) -> ExecResult:
        if not (await self._known(worker_id)).is_live:
            raise RuntimeFailed(f"worker {worker_id} does not run")
        bounded = ["timeout", "--kill-after=2", str(timeout_seconds), *command]
        return ExecResult(*await self._engine.exec_in_container(_name(worker_id), bounded))

    def _arguments(self, spec: WorkerSpec) -> dict[str, Any]:
        options = self._options
        labels = {
            WORKER_LABEL: spec.worker_id,
            INSTALLATION_LABEL: options.installation,
            **{RECORD_LABEL + name: value for name, value in spec.labels.items()},
        }
        arguments = spec.container.to_docker_run_kwargs(spec.image, {**options.environment, **spec.environment}, labels)
        arguments["network"] = options.network
        if options.entrypoint:
            arguments["entrypoint"] = list(options.entrypoint)
        if options.oci_runtime:
            arguments["runtime"] = options.oci_runtime
        if options.ca_bundle:
            mounts = spec.container.to_volume_mounts()
            arguments["volumes"] = mounts | {options.ca_bundle: {"bind": CA_BUNDLE, "mode": "ro"}}
        return arguments

    async def _known(self, worker_id: str) -> WorkerInstance:
        instance = await self.inspect(worker_id)
        if instance is None:
            raise RuntimeFailed(f"worker {worker_id} does not exist")
        return instance

    async def _has_ended(self, worker_id: str, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while True:
            instance = await self.inspect(worker_id)
            if instance is None or not instance.is_live:
                return True
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)

    def _hear(self, event: Mapping[str, Any]) -> None:
        death = self._reader.read(event)
        if death is not None:
            self._tell_death(death.worker_id, death.exit_code, is_oom=death.is_oom)

    def _tell_death(self, worker_id: str, exit_code: int | None, *, is_oom: bool) -> None:
        self._events.put_nowait(RuntimeEvent(worker_id, RuntimeEventKind.DIED, exit_code, is_oom))


def _name(worker_id: str) -> str:
    return NAME_PREFIX + worker_id


def _labels(attributes: Attributes) -> dict[str, str]:
    return attributes["Config"]["Labels"] or {}


def _files(spec: WorkerSpec) -> dict[str, str]:
    if not spec.instructions:
        return {}
    return {AGENTS[AgentType(spec.container.agent_type)].get_instruction_path(): spec.instructions}


def _instance(attributes: Attributes) -> WorkerInstance:
    state, labels = attributes["State"], _labels(attributes)
    kind = _STATES.get(state["Status"], InstanceState.EXITED)
    has_ended = kind is InstanceState.EXITED
    exit_code = int(state["ExitCode"]) if has_ended else None
    return WorkerInstance(
        worker_id=labels.get(WORKER_LABEL, ""),
        state=kind,
        labels={
            name.removeprefix(RECORD_LABEL): value for name, value in labels.items() if name.startswith(RECORD_LABEL)
        },
        created_at=datetime.fromisoformat(attributes["Created"]),
        pid=state["Pid"] or None,
        exit_code=exit_code,
        # The engine sets its mark for a killed child too, after which the worker may end in its own way.
        is_oom=bool(state.get("OOMKilled")) and exit_code == KILLED_EXIT_CODE,
        ended_at=datetime.fromisoformat(state["FinishedAt"]) if has_ended else None,
    )
