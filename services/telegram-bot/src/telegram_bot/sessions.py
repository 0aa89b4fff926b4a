"""PO workers of users: which worker serves whom, and asking worker-manager for one. Sessions live in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

from redis.asyncio import Redis

from shared.contracts.queues.workers import CreateWorkerCommand, DeleteWorkerCommand, WorkerConfig, WorkerContext
from shared.contracts.topology import WORKER_COMMANDS
from shared.contracts.vocabulary import AgentType, WorkerCapability, WorkerStatus, WorkerType
from shared.redis.bus import Bus
from telegram_bot import keys
from telegram_bot.instructions import ALLOWED_COMMANDS, PRODUCT_OWNER

LIVE = frozenset({WorkerStatus.STARTING, WorkerStatus.RUNNING, WorkerStatus.PAUSED})
REQUEST_PREFIX = "po:"


def creation_request(user_id: str, message_id: int, attempt: int) -> str:
    """Return the request id of the worker a message needs: a repeat adopts the worker it made."""
    return f"{REQUEST_PREFIX}{user_id}:{message_id}:{attempt}"


def user_of_request(request_id: str) -> str | None:
    """Return whom a creation request was for."""
    parts = request_id.split(":")
    return parts[1] if request_id.startswith(REQUEST_PREFIX) and len(parts) == 4 else None


class Sessions:
    """Reads and writes the session keys; asks for workers over the bus."""

    def __init__(self, redis: Redis, bus: Bus, agent_type: AgentType) -> None:
        self._redis = redis
        self._bus = bus
        self._agent_type = agent_type

    async def live_worker(self, user_id: str) -> str | None:
        """Return the user's worker if it is known to live; refreshes the session."""
        worker_id = await self._redis.get(keys.session(user_id))
        if worker_id is None:
            return None
        name = worker_id.decode() if isinstance(worker_id, bytes) else str(worker_id)
        status = await self._redis.hget(keys.worker_status(name), "status")
        text = status.decode() if isinstance(status, bytes) else status
        if text is not None and text not in LIVE:
            return None
        await self._redis.expire(keys.session(user_id), keys.SESSION_TTL_SECONDS)
        return name

    async def remember(self, user_id: str, worker_id: str) -> None:
        await self._redis.set(keys.session(user_id), worker_id, ex=keys.SESSION_TTL_SECONDS)

    async def forget(self, user_id: str) -> str | None:
        """Drop the session and return the worker it named."""
        worker_id = await self._redis.getdel(keys.session(user_id))
        return worker_id.decode() if isinstance(worker_id, bytes) else worker_id

    async def known(self) -> AsyncIterator[tuple[str, str]]:
        """Yield (user id, worker id) of every session."""
        prefix = keys.session("")
        async for key in self._redis.scan_iter(match=prefix + "*"):
            name = key.decode() if isinstance(key, bytes) else str(key)
            value = await self._redis.get(name)
            if value is not None:
                yield name.removeprefix(prefix), value.decode() if isinstance(value, bytes) else str(value)

    async def is_first_refusal(self, telegram_id: int) -> bool:
        """Tell once per hour that a stranger has not been told yet."""
        return bool(await self._redis.set(keys.refused(telegram_id), "1", nx=True, ex=keys.REFUSAL_TTL_SECONDS))

    async def ask_for_worker(self, user_id: str, request_id: str) -> None:
        """Publish the request for a PO worker."""
        config = WorkerConfig(
            name=f"po-{user_id[:12]}",
            worker_type=WorkerType.PO,
            agent_type=self._agent_type,
            instructions=PRODUCT_OWNER,
            allowed_commands=ALLOWED_COMMANDS,
            capabilities=[WorkerCapability.CURL],
        )
        command = CreateWorkerCommand(request_id=request_id, config=config, context=WorkerContext(user_id=user_id))
        await self._bus.publish(WORKER_COMMANDS, command)

    async def end_worker(self, worker_id: str) -> None:
        await self._bus.publish(
            WORKER_COMMANDS, DeleteWorkerCommand(request_id=f"end:{worker_id}", worker_id=worker_id)
        )
