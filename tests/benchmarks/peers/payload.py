"""The message every contender carries: twelve fields, about 450 bytes of JSON. Needs only pydantic."""

from __future__ import annotations

import enum
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

CORRELATION = "6fa459eaee8a4ca4894edb77e160355e"
CAUSE = uuid.UUID(CORRELATION)
NOTE = "resize the uploaded images, then write thumbnails to the store"


class Kind(enum.StrEnum):
    CREATED = "task.created"
    STARTED = "task.started"
    FINISHED = "task.finished"


class Priority(enum.IntEnum):
    LOW = 0
    NORMAL = 5
    HIGH = 9


class Event(BaseModel):
    """`sent_ns` is the monotonic clock at publishing, which all processes of one machine share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal["1"] = "1"
    correlation_id: str = Field(min_length=1, max_length=200)
    timestamp: AwareDatetime
    id: uuid.UUID
    kind: Kind
    priority: Priority
    source: str
    subject: str
    causation_id: uuid.UUID
    attempt: int
    sent_ns: int
    note: str


def values(number: int) -> dict[str, Any]:
    """Return the fields of message `number`, sent now."""
    return {
        "correlation_id": CORRELATION,
        "timestamp": datetime.now(UTC),
        "id": uuid.uuid4(),
        "kind": Kind.STARTED,
        "priority": Priority.NORMAL,
        "source": "svc.ingest",
        "subject": f"project/42/item/{number}",
        "causation_id": CAUSE,
        "attempt": 1,
        "sent_ns": time.monotonic_ns(),
        "note": NOTE,
    }


def event(number: int) -> Event:
    """Return message `number`, sent now."""
    return Event(**values(number))
