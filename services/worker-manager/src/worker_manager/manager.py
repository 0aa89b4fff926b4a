"""WorkerManager: creates, deletes and describes workers, and follows what they and the runtime tell of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from shared.clients.errors import ClientError
from shared.contracts.queues.workers import (
    CreateWorkerCommand,
    DeleteWorkerCommand,
    LifecycleEvent,
    StatusWorkerCommand,
    WorkerLifecycleEvent,
    WorkerResponse,
)
from shared.contracts.topology import DEVELOPER_INPUT, DEVELOPER_INPUT_POOL, PO_INPUT, PO_OUTPUT, Stream
from shared.contracts.vocabulary import WorkerStatus, WorkerType
from shared.infra import Clock
from shared.logging import get_logger
from shared.redis.bus import Bus
from worker_manager.admission import AdmissionPolicy
from worker_manager.capacity import Capacity, CreationQueue
from worker_manager.container_config import WorkerContainerConfig
from worker_manager.credentials import CredentialIssuer
from worker_manager.deaths import WRAPPER_GROUP, Death, DeathReporter
from worker_manager.errors import Refused, ResourceExhausted, UnknownWorker
from worker_manager.image_builder import ImageRecipe
from worker_manager.mirror import ApiMirror
from worker_manager.records import WorkerRecord, WorkerState, derive_worker_id
from worker_manager.responses import granted, refused
from worker_manager.runtime.port import InstanceState, WorkerInstance, WorkerRuntime, WorkerSpec
from worker_manager.status_store import StatusStore

ENDED_BY_DELETE = "delete"
ENDED_BY_IDLENESS = "idle"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a manager works with."""

    runtime: WorkerRuntime
    store: StatusStore
    bus: Bus
    clock: Clock
    mirror: ApiMirror
    credentials: CredentialIssuer
    policy: AdmissionPolicy
    capacity: Capacity
    queue: CreationQueue
    deaths: DeathReporter
    api_url: str
    stop_grace_seconds: float = 5.0


def input_stream(record: WorkerRecord) -> Stream[Any]:
    """Return the stream a worker reads."""
    if record.worker_type is WorkerType.PO:
        return PO_INPUT.at(record.worker_id)
    return DEVELOPER_INPUT_POOL if record.pooled else DEVELOPER_INPUT.at(record.worker_id)


def record_of(instance: WorkerInstance) -> WorkerRecord | None:
    """Return whom an instance belongs to; None when its labels are not ours."""
    try:
        return WorkerRecord.from_labels(instance.labels)
    except (KeyError, ValueError):
        return None


class WorkerManager:
    """One worker's operations never overlap; different workers' do."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, worker_id: str) -> asyncio.Lock:
        """Return the lock under which anything happens to a worker."""
        return self._locks.setdefault(worker_id, asyncio.Lock())

    async def create(self, command: CreateWorkerCommand, *, may_wait: bool = True) -> WorkerResponse | None:
        """Create the worker a request names, or adopt it when it exists; None when it waits for a slot.

        Without `may_wait` a full house raises ResourceExhausted.
        """
        record = WorkerRecord.of(command)
        async with self.lock(record.worker_id):
            try:
                status = await self._adopted(record)
                if status is None:
                    if may_wait and await self._must_queue(record):
                        raise ResourceExhausted
                    status = await self._create(record, command)
            except ResourceExhausted:
                if not may_wait:
                    raise
                await self._parts.queue.put(record.worker_id, command)
                log.info("a creation waits for a slot", worker_id=record.worker_id)
                return None
            except (Refused, ClientError) as error:
                log.warning("creation refused", worker_id=record.worker_id, code=error.code, error=str(error))
                return refused(command, record.worker_id, error)
        return granted(command, record.worker_id, status)

    async def delete(self, command: DeleteWorkerCommand) -> WorkerResponse:
        """End a worker and delete all it left, deliberately: no output tells of it."""
        worker_id = command.worker_id
        async with self.lock(worker_id):
            try:
                status = await self._delete(worker_id)
            except Refused as error:
                return refused(command, worker_id, error)
        return granted(command, worker_id, status)

    async def status(self, command: StatusWorkerCommand) -> WorkerResponse:
        """Describe a worker."""
        worker_id = command.worker_id
        async with self.lock(worker_id):
            state = await self._parts.store.load(worker_id)
            if state is None or state.status is None:
                state = await self._rebuilt(worker_id)
        if state is None or state.status is None:
            if worker_id in dict(await self._parts.queue.waiting()):
                return granted(command, worker_id, WorkerStatus.STARTING)
            return refused(command, worker_id, UnknownWorker(f"no worker {worker_id} is known"))
        return granted(command, worker_id, state.status, error=state.error)

    async def worker_type(self, worker_id: str) -> WorkerType | None:
        """Return what kind of worker an id names, as far as it is known."""
        state = await self._parts.store.load(worker_id)
        if state is not None and state.worker_type is not None:
            return state.worker_type
        instance = await self._parts.runtime.inspect(worker_id)
        record = record_of(instance) if instance is not None else None
        return record.worker_type if record is not None else None

    async def on_lifecycle(self, event: WorkerLifecycleEvent) -> None:
        """Note what a wrapper says of itself; the end of its process decides how it ended."""
        store, now = self._parts.store, self._parts.clock.now()
        async with self.lock(event.worker_id):
            state = await store.load(event.worker_id)
            if state is None or state.status is None:
                state = await self._rebuilt(event.worker_id)
            if state is None:
                log.warning("lifecycle event of an unknown worker", worker_id=event.worker_id, told=event.event.value)
                return
            if state.is_final:
                return
            if event.event is LifecycleEvent.STARTED:
                if state.status in (None, WorkerStatus.STARTING):
                    await self.set_status(event.worker_id, WorkerStatus.RUNNING, {"started_at": now.isoformat()})
                return
            fields = {"active_at": now.isoformat()}
            if event.event is LifecycleEvent.FAILED and event.request_id is None and event.error:
                fields["error"] = event.error
            await store.put(event.worker_id, fields)

    async def on_death(self, death: Death) -> WorkerStatus | None:
        """Settle a worker's end, whoever told of it first; a repeat changes nothing."""
        async with self.lock(death.worker_id):
            instance = await self._parts.runtime.inspect(death.worker_id)
            status = await self._parts.deaths.report(death, record_of(instance) if instance is not None else None)
            await self._parts.credentials.revoke(death.worker_id)
            return status

    async def end_idle(self, worker_id: str) -> None:
        """End a worker nobody uses: no failure, and a message that came meanwhile is answered."""
        async with self.lock(worker_id):
            await self._parts.store.put(worker_id, {"ended_by": ENDED_BY_IDLENESS})
            await self._parts.runtime.stop(worker_id, grace_seconds=self._parts.stop_grace_seconds)
            instance = await self._parts.runtime.inspect(worker_id)
        await self.on_death(Death(worker_id, instance.exit_code if instance is not None else None))

    async def set_status(self, worker_id: str, status: WorkerStatus, fields: Mapping[str, str] | None = None) -> None:
        """Write a status and tell the api."""
        await self._parts.store.set_status(worker_id, status, self._parts.clock.now(), fields)
        self._parts.mirror.put(await self._parts.store.load(worker_id))

    async def rebuild(self, instance: WorkerInstance) -> WorkerState | None:
        """Write what Redis lost of a live worker, its consumer group first; None when it is not ours."""
        record = record_of(instance)
        if record is None:
            log.warning("a live worker without readable labels is kept", worker_id=instance.worker_id)
            return None
        await self._parts.bus.ensure_group(input_stream(record), WRAPPER_GROUP)
        is_running = await self._parts.store.has_heartbeat(record.worker_id)
        status = WorkerStatus.RUNNING if is_running else WorkerStatus.STARTING
        if instance.state is InstanceState.PAUSED:
            status = WorkerStatus.PAUSED
        log.info("state of a live worker rebuilt", worker_id=record.worker_id, status=status.value)
        fields = record.to_labels() | {
            "created_at": instance.created_at.isoformat(),
            "active_at": self._parts.clock.now().isoformat(),
        }
        await self.set_status(record.worker_id, status, fields)
        return await self._parts.store.load(record.worker_id)

    async def _rebuilt(self, worker_id: str) -> WorkerState | None:
        instance = await self._parts.runtime.inspect(worker_id)
        return await self.rebuild(instance) if instance is not None and instance.is_live else None

    async def _must_queue(self, record: WorkerRecord) -> bool:
        """Tell whether others wait already: a newcomer does not overtake them."""
        return any(worker_id != record.worker_id for worker_id, _ in await self._parts.queue.waiting())

    async def _adopted(self, record: WorkerRecord) -> WorkerStatus | None:
        """Return the status of a worker an earlier delivery of this request made; None when there is none."""
        instance = await self._parts.runtime.inspect(record.worker_id)
        state = await self._parts.store.load(record.worker_id)
        if state is not None and state.is_final:
            return state.status
        if instance is None or instance.state is InstanceState.CREATED:
            return None
        if instance.state is InstanceState.EXITED:
            death = Death(record.worker_id, instance.exit_code, instance.is_oom)
            return await self._parts.deaths.report(death, record) or WorkerStatus.FAILED
        if state is None or state.status is None:
            state = await self.rebuild(instance)
        log.info("a worker that exists was adopted", worker_id=record.worker_id)
        return state.status if state is not None and state.status is not None else WorkerStatus.STARTING

    async def _create(self, record: WorkerRecord, command: CreateWorkerCommand) -> WorkerStatus:
        parts, worker_id = self._parts, record.worker_id
        container = parts.policy.admit(record, command.config, is_sandboxed=parts.runtime.is_sandboxed)
        async with parts.capacity.slot(worker_id), AsyncExitStack() as undo:
            await parts.bus.ensure_group(input_stream(record), WRAPPER_GROUP)
            undo.push_async_callback(self._forget, worker_id)
            now = parts.clock.now()
            fields = record.to_labels() | {"created_at": now.isoformat(), "active_at": now.isoformat()}
            await parts.store.set_status(worker_id, WorkerStatus.STARTING, now, fields)
            instance = await self._start(record, command, container)
            undo.pop_all()
        await self.set_status(worker_id, WorkerStatus.STARTING, _pid_of(instance))
        return WorkerStatus.STARTING

    async def _start(
        self, record: WorkerRecord, command: CreateWorkerCommand, container: WorkerContainerConfig
    ) -> WorkerInstance:
        parts = self._parts
        recipe = ImageRecipe(command.config.agent_type, tuple(command.config.capabilities))
        image = await parts.runtime.ensure_image(recipe)
        await parts.store.touch_image(image, parts.clock.now())
        credentials = await parts.credentials.issue(record)
        await parts.runtime.create(
            WorkerSpec(
                worker_id=record.worker_id,
                image=image,
                container=container,
                environment=container.to_env_vars(credentials.redis_url, parts.api_url, credentials.api_token),
                instructions=command.config.instructions,
                labels=record.to_labels(),
            )
        )
        return await parts.runtime.start(record.worker_id)

    async def _forget(self, worker_id: str) -> None:
        """Leave nothing of a creation that failed, so that a repeat starts afresh."""
        await self._parts.runtime.remove(worker_id)
        await self._parts.credentials.revoke(worker_id)
        await self._parts.store.forget(worker_id)

    async def _delete(self, worker_id: str) -> WorkerStatus:
        parts = self._parts
        if await parts.queue.remove(worker_id):
            log.info("a waiting creation was withdrawn", worker_id=worker_id)
            return WorkerStatus.STOPPED
        state = await parts.store.load(worker_id)
        instance = await parts.runtime.inspect(worker_id)
        if state is None and instance is None:
            raise UnknownWorker(f"no worker {worker_id} is known")
        if state is None or not state.is_final:
            record = record_of(instance) if instance is not None else None
            labels = record.to_labels() if record is not None else {}
            await parts.store.put(worker_id, labels | {"ended_by": ENDED_BY_DELETE})
            await parts.runtime.stop(worker_id, grace_seconds=parts.stop_grace_seconds)
            await parts.store.finish(worker_id, WorkerStatus.STOPPED, parts.clock.now())
        await parts.runtime.remove(worker_id)
        await parts.credentials.revoke(worker_id)
        await parts.store.clear_traces(worker_id, *_own_streams(worker_id))
        state = await parts.store.load(worker_id)
        parts.mirror.put(state)
        return state.status if state is not None and state.status is not None else WorkerStatus.STOPPED


def _own_streams(worker_id: str) -> tuple[str, ...]:
    return (PO_INPUT.at(worker_id).name, PO_OUTPUT.at(worker_id).name, DEVELOPER_INPUT.at(worker_id).name)


def _pid_of(instance: WorkerInstance) -> Mapping[str, str]:
    return {} if instance.pid is None else {"pid": str(instance.pid)}


def worker_of(command: CreateWorkerCommand | DeleteWorkerCommand | StatusWorkerCommand) -> str:
    """Return the worker a command is about."""
    return derive_worker_id(command.request_id) if isinstance(command, CreateWorkerCommand) else command.worker_id
