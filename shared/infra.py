"""The ports seam: one frozen value with bus, clock, api and ids, scoped to the context that set it."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from shared.clients.api_port import Api
from shared.contracts.base import new_id
from shared.redis.bus import Bus
from shared.runtime.errors import Category, PlatformError


class Clock(Protocol):
    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Ids(Protocol):
    def new(self) -> str:
        """Return an identifier never returned before."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class RandomIds:
    """Random 32-character hexadecimal identifiers."""

    def new(self) -> str:
        return new_id()


@dataclass(frozen=True, slots=True)
class Infra:
    bus: Bus
    clock: Clock
    api: Api
    ids: Ids


class InfraMissing(PlatformError):
    """No infrastructure is set in this context: call set_infra(Infra(...)) in the composition root or the test."""

    code = "infra_missing"
    category = Category.FATAL


_infra: ContextVar[Infra | None] = ContextVar("infra", default=None)


def get_infra() -> Infra:
    """Return the infrastructure of this context; InfraMissing when there is none."""
    infra = _infra.get()
    if infra is None:
        raise InfraMissing
    return infra


def set_infra(infra: Infra) -> None:
    """Set the infrastructure of this context and of the tasks it starts from now on."""
    _infra.set(infra)


def reset_infra() -> None:
    """Forget the infrastructure of this context."""
    _infra.set(None)
