"""Reads the Docker engine's container events and reports the death of our workers; other containers are not ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from shared.infra import Clock, SystemClock
from shared.redis.client import RedisStreamClient
from worker_manager.container_config import NAME_PREFIX
from worker_manager.deaths import Death, DeathReporter
from worker_manager.image_builder import LABEL_PREFIX
from worker_manager.settings import SERVICE
from worker_manager.status_store import StatusStore

WORKER_LABEL = f"{LABEL_PREFIX}.id"
KILLED_EXIT_CODE = 137
# What an event says of a container that has no labels at all.
_OWN_ATTRIBUTES = frozenset({"name", "image", "exitCode", "signal", "execDuration", "execID"})


def worker_of(attributes: Mapping[str, str]) -> str | None:
    """Return the worker a container belongs to: by label, or by name where it has no labels; None when not ours."""
    if WORKER_LABEL in attributes:
        return attributes[WORKER_LABEL]
    name = attributes.get("name", "")
    if not set(attributes) <= _OWN_ATTRIBUTES or not name.startswith(NAME_PREFIX) or name.startswith(SERVICE):
        return None
    return name.removeprefix(NAME_PREFIX)


class DeathReader:
    """Reads deaths out of decoded events; remembers who ran out of memory until its container ends."""

    def __init__(self) -> None:
        self._out_of_memory: set[str] = set()

    def read(self, event: Mapping[str, Any]) -> Death | None:
        """Return the death of a worker an event tells of; None for everything else."""
        if event.get("Type") != "container":
            return None
        attributes = event.get("Actor", {}).get("Attributes", {})
        worker_id = worker_of(attributes)
        if worker_id is None:
            return None
        if event.get("Action") == "oom":
            self._out_of_memory.add(worker_id)
            return None
        if event.get("Action") != "die":
            return None
        code = attributes.get("exitCode", "")
        exit_code = int(code) if code.isdigit() else None
        # The engine also tells of an out-of-memory child, after which the container may end in its own way.
        is_oom = worker_id in self._out_of_memory and exit_code == KILLED_EXIT_CODE
        self._out_of_memory.discard(worker_id)
        return Death(worker_id, exit_code, is_oom)


class DockerEventsListener:
    """Takes the raw Redis client and wraps it in the bus."""

    def __init__(self, redis: Redis, *, clock: Clock | None = None, deaths: DeathReporter | None = None) -> None:
        self._deaths = deaths or DeathReporter(
            StatusStore(redis),
            RedisStreamClient(redis, service=SERVICE),
            clock or SystemClock(),
            owner=SERVICE,
            mirror=None,
        )
        self._reader = DeathReader()

    async def _handle_event(self, event: Mapping[str, Any]) -> None:
        """Handle one decoded event of the engine; a repeated one changes nothing."""
        death = self._reader.read(event)
        if death is not None:
            await self._deaths.report(death)
