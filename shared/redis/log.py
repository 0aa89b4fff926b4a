"""The port below the consumer: one consumer's view of one group. Redis and memory implement it; both share the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from shared.contracts.queues.events import DeadLetter
from shared.redis.subscription import Backlog

FIRST = "0-0"


class Entry(NamedTuple):
    """`body` is None when the entry has no field `data`; then `raw` shows what it has."""

    id: str
    body: bytes | None
    attempt: int
    raw: str = ""


class Sweep(NamedTuple):
    """`cursor` is FIRST when everything was looked at; `has_lost` tells that pending entries no longer exist."""

    cursor: str
    entries: list[Entry]
    has_lost: bool = False


class GroupLog(Protocol):
    """Methods raise BusUnavailable while the server is away and GroupMissing when it lost the group."""

    async def ensure(self) -> None:
        """Create the group at the beginning of the stream unless it exists."""
        ...

    async def read_new(self, count: int, block_ms: int | None) -> list[Entry]:
        """Return entries nobody in the group has seen; block_ms=None does not wait."""
        ...

    async def read_own(self, after: str, count: int) -> list[Entry]:
        """Deliver again what this consumer left pending; entries that no longer exist are acknowledged."""
        ...

    async def has_idle(self, min_idle_ms: int) -> bool:
        """Tell whether some entry has been idle for so long, whoever holds it."""
        ...

    async def sweep(self, min_idle_ms: int, cursor: str, count: int) -> Sweep:
        """Take over entries idle for so long, whoever held them."""
        ...

    async def claim(self, entry_id: str) -> bool:
        """Count one more delivery of an entry of this consumer; False when it is somebody else's by now or gone."""
        ...

    async def keep(self, entry_ids: Sequence[str]) -> list[str]:
        """Keep this consumer's entries from growing idle; return those that are another's or acknowledged by now."""
        ...

    async def ack(self, entry_ids: Sequence[str]) -> None: ...

    async def bury(self, letter: DeadLetter, message_id: str | None = None) -> None:
        """Append a dead letter and forget its message's id, so that a replay is handled; the caller acknowledges."""
        ...

    async def admit(self, message_id: str, entry_id: str, seconds: float) -> bool:
        """Remember for so long which entry brought a message; False when another one did before."""
        ...

    async def hold_name(self) -> str | None:
        """Make the consumer's name this process's; return who has it when somebody else does."""
        ...

    async def keep_name(self) -> bool:
        """Renew the name; False when somebody else has it by now."""
        ...

    async def forget_names(self, idle_seconds: float) -> list[str]:
        """Drop the names of consumers that are gone for so long and hold no entry; return them."""
        ...

    async def backlog(self) -> Backlog:
        """Return what the group has before it."""
        ...

    async def trim(self) -> int:
        """Drop finished entries beyond the stream's retention."""
        ...

    async def unblock(self) -> None:
        """End a read_new that waits, without losing what it was about to return."""
        ...

    async def close(self) -> None:
        """Give the consumer's name back and close what was opened."""
        ...
