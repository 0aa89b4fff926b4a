"""The composition root: opens what the service needs and adds its consumers, loops and periodic jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from shared.clients.api import ApiClient
from shared.clients.api_port import Api
from shared.contracts.vocabulary import AgentType
from shared.infra import Clock, SystemClock
from shared.redis.bus import Bus
from shared.redis.client import RedisStreamClient
from shared.runtime.service import Composition
from worker_manager.admission import AdmissionPolicy
from worker_manager.capacity import Capacity, CreationQueue
from worker_manager.consumer import WorkerCommandConsumer
from worker_manager.credentials import CredentialIssuer
from worker_manager.deaths import DeathReporter
from worker_manager.idle import IdleKeeper, IdlePolicy
from worker_manager.image_keeper import ImageKeeper
from worker_manager.manager import Parts, WorkerManager
from worker_manager.mirror import ApiMirror
from worker_manager.reconciler import Reconciler
from worker_manager.redis_users import RedisUsers
from worker_manager.runtime.choice import build_runtime
from worker_manager.runtime.docker import DockerRuntime
from worker_manager.runtime.port import WorkerRuntime
from worker_manager.settings import SERVICE, Settings
from worker_manager.status_store import StatusStore

REDIS_TIMEOUT_SECONDS = 10.0
# Below the drain deadline: a creation that cannot get its token is refused as retryable before the process ends.
API_RETRY_SECONDS = 6.0


def policy_of(settings: Settings) -> AdmissionPolicy:
    """Return what this installation allows."""
    return AdmissionPolicy(
        default_auth_mode=settings.default_auth_mode,
        api_keys={AgentType.CLAUDE: settings.anthropic_api_key, AgentType.FACTORY: settings.factory_api_key},
        anthropic_base_url=settings.anthropic_base_url,
        host_claude_dir=settings.host_claude_dir,
        is_unsandboxed_allowed=settings.unsandboxed,
        is_docker_socket_allowed=settings.allow_docker_socket,
        worker_network=settings.worker_network,
    )


def assemble(
    settings: Settings,
    *,
    runtime: WorkerRuntime,
    store: StatusStore,
    bus: Bus,
    api: Api,
    clock: Clock,
    users: RedisUsers | None = None,
) -> Parts:
    """Return the parts of a manager around the given adapters."""
    mirror = ApiMirror(api)
    return Parts(
        runtime=runtime,
        store=store,
        bus=bus,
        clock=clock,
        mirror=mirror,
        credentials=CredentialIssuer(api, settings.redis_url_for_workers, settings.default_owner_id, users),
        policy=policy_of(settings),
        capacity=Capacity(runtime, settings.max_concurrent_workers),
        queue=CreationQueue(store, clock, settings.creation_wait_seconds),
        deaths=DeathReporter(store, bus, clock, owner=settings.consumer_name(SERVICE), mirror=mirror),
        api_url=settings.api_url_for_workers,
        stop_grace_seconds=settings.worker_stop_grace_seconds,
    )


def composer(settings: Settings) -> Callable[[Composition], Awaitable[None]]:
    """Return what fills the service's composition."""

    async def compose(composition: Composition) -> None:
        runtime = build_runtime(settings)
        await runtime.open()
        composition.stack.push_async_callback(runtime.close)
        redis = Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=REDIS_TIMEOUT_SECONDS)
        store = StatusStore(redis)
        composition.stack.push_async_callback(store.close)
        bus = RedisStreamClient(url=settings.redis_url.get_secret_value(), service=SERVICE)
        composition.stack.push_async_callback(bus.close)
        api = ApiClient(settings.api_url, settings.api_token.get_secret_value(), retry_seconds=API_RETRY_SECONDS)
        composition.stack.push_async_callback(api.aclose)
        users = None
        if runtime.is_sandboxed:  # plain processes could read the manager's own address anyway
            secret = settings.api_token.get_secret_value()
            users = RedisUsers(redis, settings.redis_url_for_workers, secret)
        parts = assemble(settings, runtime=runtime, store=store, bus=bus, api=api, clock=SystemClock(), users=users)
        add_work(composition, settings, parts)

    return compose


def add_work(composition: Composition, settings: Settings, parts: Parts) -> None:
    """Add the service's consumers, loops and periodic jobs."""
    manager = WorkerManager(parts)
    consumer = WorkerCommandConsumer(parts.bus, manager, parts.queue, name=settings.consumer_name(SERVICE))
    reconciler = Reconciler(manager, parts, retain_seconds=settings.worker_retain_seconds)
    idle = IdleKeeper(
        manager,
        parts.runtime,
        parts.store,
        parts.bus,
        parts.clock,
        IdlePolicy(settings.po_pause_after_seconds, settings.po_end_after_seconds, settings.worker_max_age_seconds),
    )
    composition.consume(parts.bus, consumer.commands())
    composition.consume(parts.bus, consumer.lifecycle())
    composition.loop("runtime events", lambda stop: consumer.follow_runtime(parts.runtime, stop))
    composition.loop("api mirror", parts.mirror.run)
    composition.periodic("reconcile", reconciler.drain_once, interval_seconds=settings.reconcile_seconds)
    composition.periodic("creation queue", consumer.serve_queue, interval_seconds=settings.attend_seconds)
    if isinstance(parts.runtime, DockerRuntime):
        images = ImageKeeper(parts.runtime.images, parts.store, parts.clock, settings.garbage_policy)
        composition.periodic("image garbage", images.drain_once, interval_seconds=settings.image_garbage_seconds)
    composition.periodic("idle workers", idle.drain_once, interval_seconds=settings.attend_seconds)
