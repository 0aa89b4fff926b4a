"""One delivery of one entry: decode, call the handler, and decide from the error's type what becomes of the message."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic

from shared.contracts.base import bind_correlation, new_id, unbind_correlation
from shared.contracts.queues.events import DeadLetter, DeadLetterReason
from shared.contracts.topology import M
from shared.logging import get_logger, redact
from shared.redis.backoff import Backoff
from shared.redis.codec import MAX_BODY_BYTES, Decoder, Undecodable
from shared.redis.errors import AlreadyHandled
from shared.redis.log import Entry, GroupLog
from shared.redis.metrics import GroupCounters
from shared.redis.pace import Pace
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import Delivery, StreamSub
from shared.runtime.errors import Category, PlatformError

MAX_ERROR_LENGTH = 2000
MAX_QUOTED_BYTES = 64 * 1024
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Retry:
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Dead:
    reason: DeadLetterReason
    error: str


class Item(Generic[M]):
    """An entry in hand; `message` is None when it cannot be read, then `unreadable` says why."""

    __slots__ = ("attempt", "body", "delivered_at", "id", "is_claim_due", "is_lost", "key", "message", "unreadable")

    def __init__(self, entry: Entry, message: M | None, delivered_at: float) -> None:
        self.id, body, self.attempt, raw = entry
        self.body = body if body is not None else raw.encode()
        self.message = message
        self.key: str | None = None
        self.delivered_at = delivered_at
        self.is_claim_due = False
        self.is_lost = False
        self.unreadable: Dead | None = None


class Attempts(Generic[M]):
    """Turns entries into outcomes: None for done, Retry, or Dead; a fatal error is raised."""

    def __init__(
        self, group_log: GroupLog, sub: StreamSub[M], decoder: Decoder[M], retry: RetryPolicy, counters: GroupCounters
    ) -> None:
        self._log = group_log
        self._sub = sub
        self._decoder = decoder
        self._retry = retry
        self._counters = counters
        self._pace = Pace(sub.max_per_second) if sub.max_per_second else None
        self._handler = sub.handler
        self._ordering_key = sub.ordering_key
        self._message_id = sub.message_id
        self._stream = sub.stream.name
        self._group = sub.group

    def admit(self, entry: Entry, now: float) -> Item[M]:
        """Decode an entry delivered now; what cannot be read becomes an item that run() declares dead."""
        try:
            message = self._decoder.decode(entry.body)
        except Undecodable as error:
            unreadable: Item[M] = Item(entry, None, now)
            unreadable.unreadable = Dead(error.reason, str(error))
            return unreadable
        item = Item(entry, message, now)
        if self._ordering_key is None:
            return item
        try:
            item.key = self._ordering_key(message)
        except Exception as error:  # noqa: BLE001 - the consumer loop: a message must not end it
            item.unreadable = Dead(DeadLetterReason.PERMANENT_ERROR, redact(f"no ordering key: {error!r}"))
        return item

    async def run(self, item: Item[M], started: float) -> Retry | Dead | None:
        """Deliver an item to the handler, now."""
        message = item.message
        if message is None or item.unreadable is not None:
            return item.unreadable
        if item.attempt > self._retry.max_deliveries:
            return Dead(DeadLetterReason.RETRIES_EXHAUSTED, f"delivered {item.attempt} times and never finished")
        if self._pace is not None:
            await self._pace.wait()
            started = time.monotonic()
        bound = bind_correlation(message.correlation_id)
        try:
            if self._message_id is not None and not await self._is_first(item, self._message_id(message)):
                return None
            await self._handler(message, Delivery(self._stream, item.id, self._group, item.attempt))
        except AlreadyHandled:
            self._counters.duplicates += 1
            return None
        except PlatformError as error:
            return self._judge(item, error, error.category)
        except Exception as error:  # the consumer loop: an unknown error is a bug of the handler
            log.error("handler crashed", exc_info=error, **self._where(item))
            return self._judge(item, error, Category.TRANSIENT)
        finally:
            unbind_correlation(bound)
            self._counters.handler_seconds += time.monotonic() - started
        self._counters.handled += 1
        return None

    def letter(self, item: Item[M], dead: Dead) -> DeadLetter:
        """Count a death and return its dead letter; the body stays as it was."""
        self._counters.dead += 1
        log.error("dead letter", reason=dead.reason, error=dead.error, **self._where(item))
        return DeadLetter(
            stream=self._stream,
            group=self._group,
            entry_id=item.id,
            reason=dead.reason,
            error=dead.error,
            attempts=item.attempt,
            service=self._sub.service or self._sub.consumer,
            died_at=datetime.now(UTC),
            body=_quoted(item.body),
            correlation_id=item.message.correlation_id if item.message is not None else new_id(),
        )

    async def bury(self, item: Item[M], letter: DeadLetter) -> None:
        """Append a dead letter; its message may come again, as a replay."""
        if self._message_id is None or item.message is None:
            await self._log.bury(letter)
        else:
            await self._log.bury(letter, self._message_id(item.message))

    async def _is_first(self, item: Item[M], message_id: str) -> bool:
        remember = self._sub.remember_seconds
        if await Backoff().until_answered(lambda: self._log.admit(message_id, item.id, remember)):
            return True
        self._counters.duplicates += 1
        log.info("duplicate left out", message_id=message_id, **self._where(item))
        return False

    def _judge(self, item: Item[M], error: Exception, category: Category) -> Retry | Dead:
        if category is Category.FATAL:
            raise error
        text = redact(f"{getattr(error, 'code', type(error).__name__)}: {error}")[:MAX_ERROR_LENGTH]
        if category is Category.PERMANENT:
            return Dead(DeadLetterReason.PERMANENT_ERROR, text)
        delay = self._retry.delay(category, item.attempt, getattr(error, "retry_after_seconds", None))
        if delay is None:
            return Dead(DeadLetterReason.RETRIES_EXHAUSTED, text)
        self._counters.retried += 1
        log.warning("delivery failed", error=text, retry_in_seconds=round(delay, 3), **self._where(item))
        return Retry(delay)

    def _where(self, item: Item[M]) -> dict[str, str | int]:
        return {"stream": self._stream, "group": self._group, "entry": item.id, "attempt": item.attempt}


def _quoted(body: bytes) -> str:
    """Return a body as text; of one that is too large for any reader, only the beginning."""
    return (body if len(body) <= MAX_BODY_BYTES else body[:MAX_QUOTED_BYTES]).decode(errors="backslashreplace")
