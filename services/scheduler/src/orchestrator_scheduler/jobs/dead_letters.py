"""Dead letters: copies every `…:dlq` stream into rows of the api, redacted, and drops entries older than seven days.

The untouched body stays in the stream, where the relay finds it by `letter_id` when an operator asks for a replay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from shared.clients.api_port import Api
from shared.contracts.dto.infrastructure import DeadLetterCreate, WorkerDTO
from shared.contracts.queues.events import DeadLetter
from shared.contracts.topology import DEVELOPER_INPUT, PO_INPUT, PO_OUTPUT, TOPOLOGY, Stream
from shared.contracts.vocabulary import WorkerStatus, WorkerType
from shared.infra import Clock
from shared.logging import redact_body
from shared.redis.bus import Bus
from shared.redis.subscription import Delivery, StreamSub

GROUP = "scheduler"
CONSUMER = "dead-letters"  # one leader copies at a time, so its successor takes up what it left pending
RETENTION = timedelta(days=7)
MAX_BODY = 100_000
_LIVE = frozenset({WorkerStatus.STARTING, WorkerStatus.RUNNING, WorkerStatus.PAUSED})
_OF_WORKER: dict[WorkerType, tuple[Stream[Any], ...]] = {
    WorkerType.PO: (PO_INPUT, PO_OUTPUT),
    WorkerType.DEVELOPER: (DEVELOPER_INPUT,),
}
CONCRETE = tuple(stream for stream in TOPOLOGY if "{" not in stream.name)


class DeadLetters:
    """Streams of one worker each are found through the api's workers.

    The api knows every worker that was ever reported, whatever Redis has lost, and a look at its few streams is cheaper
    than a scan of all keys, which grows with everything else in Redis. Workers that ended more than seven days ago have
    no dead letters left.
    """

    def __init__(self, api: Api, bus: Bus, clock: Clock) -> None:
        self._api = api
        self._bus = bus
        self._clock = clock
        self._turn = asyncio.Lock()

    async def copy(self) -> None:
        """Copy what is new in the dead letters of the streams that exist once."""
        for stream in CONCRETE:
            await self._copy(stream)

    async def copy_of_workers(self) -> None:
        """Copy what is new in the dead letters of each worker's streams; they vanish seven days after the last one."""
        for stream in await self._of_workers():
            if await self._copy(stream):
                await self._bus.expire(stream.dead_letters, RETENTION.total_seconds())

    async def trim(self) -> None:
        """Drop dead letters older than seven days; what could not be copied yet stays."""
        oldest = f"{int((self._clock.now() - RETENTION).timestamp() * 1000)}-0"
        for stream in (*CONCRETE, *await self._of_workers()):
            await self._copy(stream)
            letters = stream.dead_letters
            group = (await self._bus.stats(letters)).groups.get(GROUP)
            if group is not None and group.pending == 0:
                await self._bus.drop_below(letters, oldest)
                await self._bus.drop_below(letters.dead_letters, oldest)

    async def _copy(self, stream: Stream[Any]) -> int:
        """Record the new dead letters of a stream; return how many. A stream without any is not touched."""
        letters = stream.dead_letters
        async with self._turn:
            if (await self._bus.stats(letters)).length == 0:
                return 0
            return await self._bus.drain_once(StreamSub(letters, GROUP, CONSUMER, self._record, service=GROUP))

    async def _record(self, letter: DeadLetter, delivery: Delivery) -> None:
        await self._api.record_dead_letter(
            DeadLetterCreate(
                stream=letter.stream,
                group=letter.group,
                entry_id=letter.entry_id,
                reason=letter.reason.value,
                error=redact_body(letter.error),
                attempts=letter.attempts,
                service=letter.service,
                body=shortened(redact_body(letter.body)),
                letter_id=delivery.entry_id,
            )
        )

    async def _of_workers(self) -> list[Stream[Any]]:
        return [
            stream.at(worker.id)
            for worker in self._recent(await self._api.list_workers())
            for stream in _OF_WORKER[worker.worker_type]
        ]

    def _recent(self, workers: Iterable[WorkerDTO]) -> list[WorkerDTO]:
        since = self._clock.now() - RETENTION
        return [worker for worker in workers if worker.status in _LIVE or worker.updated_at > since]


def shortened(body: str) -> str:
    """Return the beginning of a long body: a row is for reading, a replay takes the whole one from the stream."""
    return body if len(body) <= MAX_BODY else f"{body[:MAX_BODY]}… ({len(body) - MAX_BODY} more characters)"
