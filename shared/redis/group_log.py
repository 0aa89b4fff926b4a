"""One consumer's view of one group, on a real Redis (6.2 and newer)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import Redis

from shared.contracts.base import new_id
from shared.contracts.queues.events import DeadLetter
from shared.contracts.topology import DLQ_SUFFIX
from shared.logging import get_logger
from shared.redis.backlog import backlog
from shared.redis.backoff import Backoff
from shared.redis.codec import FIELD
from shared.redis.connections import Connections, Reader, pack, run
from shared.redis.consumer_name import ConsumerName, forget_names
from shared.redis.errors import BusDenied, BusError, BusRefused, GroupMissing, translate
from shared.redis.inbox import admit
from shared.redis.keys import inbox_key
from shared.redis.log import Entry, Sweep
from shared.redis.ownership import claim, keep
from shared.redis.subscription import Backlog
from shared.redis.trimming import trim

UNTOLD_ATTEMPT = 2
RELEASE_SECONDS = 1.0
COUNTED_AT_ONCE = 1000
log = get_logger(__name__)


class RedisGroupLog:
    """Raw stream commands of one group; a reader connection of its own is opened by the first blocking read."""

    def __init__(
        self, connections: Connections, stream: str, group: str, consumer: str, *, block_ms: int, retention: int
    ) -> None:
        self._connections = connections
        self._stream = stream
        self._group = group
        self._consumer = consumer
        self._block_ms = block_ms
        self._retention = retention
        self._reader_name = f"{consumer}:{group}:{new_id()[:8]}".replace(" ", "-")
        self._reader: Reader | None = None
        self._read_words = [b"XREADGROUP", b"GROUP", group.encode(), consumer.encode()]
        self._ack_words = [b"XACK", stream.encode(), group.encode()]
        self._name = ConsumerName(stream, group, consumer, self._reader_name)

    async def ensure(self) -> None:
        await ensure_group(self._connections.commands, self._stream, self._group)

    async def read_new(self, count: int, block_ms: int | None) -> list[Entry]:
        if block_ms is None:
            reply = await self._read_group(">", count)
        else:
            words = (b"COUNT", b"%d" % count, b"BLOCK", b"%d" % block_ms, b"STREAMS", self._ack_words[1], b">")
            reply = await self._open_reader(block_ms).exchange(pack(*self._read_words, *words))
        return entries(reply[0][1]) if reply else []

    async def read_own(self, after: str, count: int) -> list[Entry]:
        reply = await self._read_group(after, count)
        found: list[Any] = reply[0][1] if reply else []
        gone = [item[0].decode() for item in found if item[1] is None]
        if gone:
            await self.ack(gone)
        if found and len(gone) == len(found):
            return await self.read_own(gone[-1], count)
        return await self._counted(entries(found))

    async def has_idle(self, min_idle_ms: int) -> bool:
        return bool(await self._run("XPENDING", self._stream, self._group, "IDLE", min_idle_ms, "-", "+", 1))

    async def sweep(self, min_idle_ms: int, cursor: str, count: int) -> Sweep:
        reply = await self._run(
            "XAUTOCLAIM", self._stream, self._group, self._consumer, min_idle_ms, cursor, "COUNT", count
        )
        found = [item for item in reply[1] if item is not None and item[1] is not None]
        has_lost = len(found) < len(reply[1])
        return Sweep(reply[0].decode(), await self._counted(entries(found)), has_lost)

    async def claim(self, entry_id: str) -> bool:
        try:
            return await claim(self._connections.commands, self._stream, self._group, self._consumer, entry_id)
        except GroupMissing:
            return False

    async def keep(self, entry_ids: Sequence[str]) -> list[str]:
        return await keep(self._connections.commands, self._stream, self._group, self._consumer, entry_ids)

    async def ack(self, entry_ids: Sequence[str]) -> None:
        packed = pack(*self._ack_words, *[entry_id.encode() for entry_id in entry_ids])
        [reply] = await self._connections.exchange(packed, 1)
        if isinstance(reply, Exception):
            raise translate(reply) from reply

    async def bury(self, letter: DeadLetter, message_id: str | None = None) -> None:
        await self._run("XADD", self._stream + DLQ_SUFFIX, "*", FIELD, letter.model_dump_json())
        if message_id is not None:
            await Backoff().until_answered(lambda: self._run("DEL", self._inbox_key(message_id)))

    async def admit(self, message_id: str, entry_id: str, seconds: float) -> bool:
        return await admit(self._connections.commands, self._inbox_key(message_id), entry_id, seconds)

    async def hold_name(self) -> str | None:
        await self._open_reader(self._block_ms).exchange(pack(b"PING"))  # connected first: who is not there has died
        return await self._name.hold(self._connections.commands)

    async def keep_name(self) -> bool:
        return await self._name.keep(self._connections.commands)

    async def forget_names(self, idle_seconds: float) -> list[str]:
        return await forget_names(self._connections.commands, self._stream, self._group, idle_seconds)

    async def backlog(self) -> Backlog:
        return await backlog(self._connections.commands, self._stream, self._group)

    async def trim(self) -> int:
        return await trim(self._connections.commands, self._stream, self._retention)

    async def unblock(self) -> None:
        for client in await self._run("CLIENT LIST", "TYPE", "normal"):
            if client.get("name") == self._reader_name:
                await self._run("CLIENT UNBLOCK", client["id"])

    async def close(self) -> None:
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._name.release(self._connections.commands)
        except (BusError, TimeoutError) as error:
            log.debug("name not released", consumer=self._consumer, error=str(error))
        if self._reader is not None:
            reader, self._reader = self._reader, None
            await reader.close()

    def _open_reader(self, block_ms: int) -> Reader:
        if self._reader is None:
            self._reader = self._connections.open_reader(self._reader_name, max(block_ms, self._block_ms))
        return self._reader

    def _inbox_key(self, message_id: str) -> str:
        return inbox_key(self._stream, self._group, message_id)

    async def _counted(self, found: list[Entry]) -> list[Entry]:
        """Fill in delivery counts; a user without the right to ask is told "again"."""
        if not found:
            return found
        counts: dict[str, int] = {}
        after, last = found[0].id, found[-1].id
        try:
            while True:
                query = ("XPENDING", self._stream, self._group, after, last, COUNTED_AT_ONCE, self._consumer)
                reply = await self._run(*query)
                counts |= {item[0].decode(): int(item[3]) for item in reply}
                if len(reply) < COUNTED_AT_ONCE:
                    break
                after = f"({reply[-1][0].decode()}"
        except BusDenied:
            return [entry._replace(attempt=UNTOLD_ATTEMPT) for entry in found]
        return [entry._replace(attempt=counts.get(entry.id, UNTOLD_ATTEMPT)) for entry in found]

    async def _read_group(self, after: str, count: int) -> Any:
        group = ("XREADGROUP", "GROUP", self._group, self._consumer, "COUNT", count)
        return await self._run(*group, "STREAMS", self._stream, after)

    async def _run(self, *command: str | int | bytes) -> Any:
        return await run(self._connections.commands, *command)


async def ensure_group(redis: Redis, stream: str, group: str) -> None:
    """Create a group at id 0 together with its stream, unless it exists."""
    try:
        await run(redis, "XGROUP CREATE", stream, group, "0", "MKSTREAM")
    except BusRefused as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


def entries(found: Iterable[Any]) -> list[Entry]:
    """Read raw reply items; a body is found whatever other fields an entry has."""
    result: list[Entry] = []
    for item in found:
        fields = item[1]
        if fields is None:
            continue
        if fields[0] == FIELD:
            result.append(Entry(item[0].decode(), fields[1], 1))
            continue
        pairs = dict(zip(fields[::2], fields[1::2], strict=True))
        raw = {_text(key): _text(value) for key, value in pairs.items()}
        result.append(Entry(item[0].decode(), pairs.get(FIELD), 1, json.dumps(raw)))
    return result


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
