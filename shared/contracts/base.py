"""The base of every contract: frozen, strict when written, tolerant when read."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.contracts.vocabulary import ResultStatus

_correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)


def current_correlation_id() -> str | None:
    """Return the correlation id bound to this context, if any."""
    return _correlation_id.get()


def bind_correlation(correlation_id: str) -> Token[str | None]:
    """Bind a correlation id until unbind_correlation(); correlation() is the same as a block."""
    return _correlation_id.set(correlation_id)


def unbind_correlation(token: Token[str | None]) -> None:
    """Restore what was bound before."""
    _correlation_id.reset(token)


@contextmanager
def correlation(correlation_id: str) -> Iterator[None]:
    """Bind a correlation id: messages and log lines made inside carry it."""
    token = _correlation_id.set(correlation_id)
    try:
        yield
    finally:
        _correlation_id.reset(token)


def new_id() -> str:
    """Return a fresh 32-character hexadecimal identifier."""
    return uuid.uuid4().hex


def _correlation_or_new() -> str:
    return _correlation_id.get() or new_id()


def _now() -> datetime:
    return datetime.now(UTC)


class Contract(BaseModel):
    """A value that crosses a process boundary."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_enum_values=False,
        ser_json_bytes="base64",
        allow_inf_nan=False,
        defer_build=True,  # a process uses few of the messages it imports
    )


class QueueMeta(Contract):
    version: Literal["1"] = "1"
    correlation_id: str = Field(default_factory=_correlation_or_new, min_length=1, max_length=200)
    timestamp: AwareDatetime = Field(default_factory=_now)


class BaseMessage(QueueMeta):
    request_id: str = Field(default_factory=new_id, min_length=1, max_length=200)
    callback_stream: str | None = None


class BaseResult(QueueMeta):
    request_id: str = Field(min_length=1, max_length=200)
    status: ResultStatus
    error: str | None = None
    duration_ms: int | None = Field(default=None, ge=0)
