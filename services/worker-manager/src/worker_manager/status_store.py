"""The status hash of each worker in Redis, and the few keys beside it. Raises BusError leaves."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.contracts.vocabulary import WorkerStatus
from shared.redis.errors import translate
from worker_manager import keys
from worker_manager.records import FINAL_STATUSES, PROGRESS_FIELDS, WorkerState

FINAL_TTL_SECONDS = 86_400
DEATH_LOCK_MS = 30_000

T = TypeVar("T")


async def _settled(answer: Awaitable[T] | T) -> T:
    """Await what redis-py types as "awaitable or value", and turn its errors into ours."""
    try:
        return cast(T, await answer) if inspect.isawaitable(answer) else answer
    except (RedisError, OSError) as error:
        raise translate(error) from error


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class StatusStore:
    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    async def load(self, worker_id: str) -> WorkerState | None:
        """Return the worker's state; None when Redis knows nothing of it."""
        values = await _settled(self._redis.hgetall(keys.status_key(worker_id)))
        if not values:
            return None
        return WorkerState.from_hash(worker_id, {_text(name): _text(value) for name, value in values.items()})

    async def put(self, worker_id: str, fields: Mapping[str, str]) -> None:
        """Set fields and leave the others."""
        await _settled(self._redis.hset(keys.status_key(worker_id), mapping=dict(fields)))

    async def set_status(
        self, worker_id: str, status: WorkerStatus, now: datetime, fields: Mapping[str, str] | None = None
    ) -> None:
        """Set the status with its time; other fields ride along."""
        await self.put(worker_id, {"status": status.value, "updated_at": now.isoformat(), **(fields or {})})

    async def finish(
        self, worker_id: str, status: WorkerStatus, now: datetime, fields: Mapping[str, str] | None = None
    ) -> None:
        """Set a final status, drop the request in progress and let the hash expire."""
        if status not in FINAL_STATUSES:
            raise ValueError(f"{status} is not final")
        await self.set_status(worker_id, status, now, fields)
        key = keys.status_key(worker_id)
        await _settled(self._redis.hdel(key, *PROGRESS_FIELDS))
        await _settled(self._redis.expire(key, FINAL_TTL_SECONDS))

    async def forget(self, worker_id: str) -> None:
        await _settled(self._redis.delete(keys.status_key(worker_id)))

    async def known_workers(self) -> list[str]:
        """Return the ids of all workers that have a hash."""
        found: list[str] = []
        cursor = 0
        while True:
            cursor, page = await _settled(self._redis.scan(cursor=cursor, match=keys.STATUS_PREFIX + "*", count=500))
            found += [_text(key).removeprefix(keys.STATUS_PREFIX) for key in page]
            if int(cursor) == 0:
                return sorted(set(found))

    async def has_heartbeat(self, worker_id: str) -> bool:
        return bool(await _settled(self._redis.exists(keys.heartbeat_key(worker_id))))

    async def clear_traces(self, worker_id: str, *streams: str) -> None:
        """Delete the worker's session and heartbeat and let its own streams expire."""
        await _settled(self._redis.delete(keys.session_key(worker_id), keys.heartbeat_key(worker_id)))
        for stream in streams:
            await _settled(self._redis.expire(stream, FINAL_TTL_SECONDS))

    async def lock_death(self, worker_id: str, owner: str) -> bool:
        """Take the right to report a death for half a minute; False while another replica has it."""
        key = keys.death_lock_key(worker_id)
        if await _settled(self._redis.set(key, owner, nx=True, px=DEATH_LOCK_MS)):
            return True
        return _text(await _settled(self._redis.get(key))) == owner

    async def unlock_death(self, worker_id: str) -> None:
        await _settled(self._redis.delete(keys.death_lock_key(worker_id)))

    async def enqueue_creation(self, worker_id: str, entry: str) -> None:
        """Keep a creation that waits for a slot; the first entry of a worker stays."""
        await _settled(self._redis.hsetnx(keys.CREATION_QUEUE, worker_id, entry))

    async def queued_creations(self) -> dict[str, str]:
        values = await _settled(self._redis.hgetall(keys.CREATION_QUEUE))
        return {_text(name): _text(value) for name, value in values.items()}

    async def dequeue_creation(self, worker_id: str) -> bool:
        """Drop a waiting creation; tell whether there was one."""
        return bool(await _settled(self._redis.hdel(keys.CREATION_QUEUE, worker_id)))

    async def touch_image(self, image: str, now: datetime) -> None:
        """Note that an image was used, for garbage collection."""
        await _settled(self._redis.hset(keys.IMAGE_LAST_USED, mapping={image: now.isoformat()}))

    async def image_uses(self) -> dict[str, datetime]:
        """Return when each image was used last."""
        values = await _settled(self._redis.hgetall(keys.IMAGE_LAST_USED))
        return {_text(name): datetime.fromisoformat(_text(value)) for name, value in values.items()}

    async def forget_images(self, names: Sequence[str]) -> None:
        if names:
            await _settled(self._redis.hdel(keys.IMAGE_LAST_USED, *names))

    async def close(self) -> None:
        await _settled(self._redis.aclose())
