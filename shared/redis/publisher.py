"""Appends messages; calls made while a round trip is under way share the next one, an idle publisher never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from redis.exceptions import RedisError

from shared.redis.codec import FIELD
from shared.redis.connections import Connections, pack
from shared.redis.errors import BusUnavailable, translate

MAX_BATCH = 512
Job = tuple[str, bytes, "asyncio.Future[str]"]


class Publisher:
    """A lone call sends for itself; calls that come with it or meanwhile queue and a task sends them together."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._queue: list[Job] = []
        self._is_sending = False
        self._task: asyncio.Task[None] | None = None

    async def add(self, name: str, body: bytes) -> str:
        """Append one entry and return its id."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if self._is_sending:
            self._queue.append((name, body, future))
            return await future
        self._is_sending = True
        try:
            await asyncio.sleep(0)  # whoever publishes in the same breath shares the round trip
            if not self._queue:
                return _id(await self._append(name, body))
            self._queue.insert(0, (name, body, future))
        finally:
            if self._queue:
                self._task = asyncio.create_task(self._flush())
            else:
                self._is_sending = False
        return await future

    async def add_many(self, name: str, bodies: Sequence[bytes]) -> list[str]:
        """Append entries in order, in one round trip per few hundred, and return their ids."""
        ids: list[str] = []
        for start in range(0, len(bodies), MAX_BATCH):
            for reply in await self._send([(name, body) for body in bodies[start : start + MAX_BATCH]]):
                if isinstance(reply, Exception):
                    raise translate(reply) from reply
                ids.append(_id(reply))
        return ids

    async def close(self) -> None:
        """Wait for what was handed over."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _append(self, name: str, body: bytes) -> bytes | str:
        given = self._connections.given
        if given is None:
            [reply] = await self._connections.exchange(_append(name, body), 1)
            if isinstance(reply, Exception):
                raise translate(reply) from reply
            return _id(reply)
        try:
            # The typed call, so that whatever stands in for a Redis client is asked for it by name.
            answer: bytes | str = await given.xadd(name, {FIELD: body})
        except (RedisError, OSError) as error:
            raise translate(error) from error
        return answer

    async def _flush(self) -> None:
        try:
            while self._queue:
                batch, self._queue = self._queue[:MAX_BATCH], self._queue[MAX_BATCH:]
                await self._send_batch(batch)
        finally:
            self._is_sending = False
            for _, _, future in self._queue:
                future.cancel()
            self._queue.clear()

    async def _send_batch(self, batch: list[Job]) -> None:
        replies: Sequence[Any]
        try:
            replies = await self._send([(name, body) for name, body, _ in batch])
        except BusUnavailable as error:
            replies = [error] * len(batch)
        except asyncio.CancelledError:
            for _, _, future in batch:
                future.cancel()
            raise
        for (_, _, future), reply in zip(batch, replies, strict=True):
            if future.done():
                continue
            if isinstance(reply, Exception):
                future.set_exception(translate(reply))
            else:
                future.set_result(_id(reply))

    async def _send(self, jobs: Sequence[tuple[str, bytes]]) -> list[Any]:
        given = self._connections.given
        if given is None:
            return await self._connections.exchange(b"".join([_append(name, body) for name, body in jobs]), len(jobs))
        pipeline = given.pipeline(transaction=False)
        for name, body in jobs:
            pipeline.xadd(name, {FIELD: body})
        try:
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            raise translate(error) from error
        return replies


@lru_cache(maxsize=1024)
def _head(name: str) -> bytes:
    """Return a command up to its last word, the body."""
    return pack(b"XADD", name.encode(), b"*", FIELD, b"").removesuffix(b"$0\r\n\r\n")


def _append(name: str, body: bytes) -> bytes:
    return b"%b$%d\r\n%b\r\n" % (_head(name), len(body), body)


def _id(reply: bytes | str) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)
