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
from shared.redis.codec import Decoder, Undecodable
from shared.redis.log import Entry, GroupLog
from shared.redis.metrics import GroupCounters
from shared.redis.pace import Pace
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import Delivery, StreamSub
from shared.runtime.errors import Category, PlatformError

MAX_ERROR_LENGTH = 2000
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

    __slots__ = ("attempt", "body", "delivered_at", "id", "is_claim_due", "key", "message", "unreadable")

    def __init__(self, entry: Entry, message: M | None, key: str | None = None) -> None:
        self.id = entry.id
        self.attempt = entry.attempt
        self.body = entry.body if entry.body is not None else entry.raw.encode()
        self.message = message
        self.key = key
        self.delivered_at = time.monotonic()
        self.is_claim_due = False
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
        self._stream = sub.stream.name
        self._group = sub.group

    def admit(self, entry: Entry) -> Item[M]:
        """Decode an entry; what cannot be read becomes an item that run() declares dead."""
        try:
            message = self._decoder.decode(entry.body)
        except Undecodable as error:
            item: Item[M] = Item(entry, None)
            item.unreadable = Dead(error.reason, str(error))
            return item
        return Item(entry, message, self._ordering_key(message) if self._ordering_key is not None else None)

    async def run(self, item: Item[M]) -> Retry | Dead | None:
        """Deliver an item to the handler."""
        message = item.message
        if message is None:
            return item.unreadable
        if item.attempt > self._retry.max_deliveries:
            return Dead(DeadLetterReason.RETRIES_EXHAUSTED, f"delivered {item.attempt} times and never finished")
        if self._pace is not None:
            await self._pace.wait()
        started = time.monotonic()
        bound = bind_correlation(message.correlation_id)
        try:
            await self._handler(message, Delivery(self._stream, item.id, self._group, item.attempt))
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
            body=item.body.decode(errors="backslashreplace"),
            correlation_id=item.message.correlation_id if item.message is not None else new_id(),
        )

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
