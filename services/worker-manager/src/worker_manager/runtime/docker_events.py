"""Follows the engine's events in a thread of its own; what was missed is asked for again by its time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from docker.types.daemon import CancellableStream

from shared.logging import get_logger
from worker_manager.docker_ops import DockerClientWrapper
from worker_manager.errors import RuntimeFailed

PAUSE_SECONDS = 1.0
JOIN_SECONDS = 5.0

log = get_logger(__name__)


class EventFeed:
    """Hands every event to `on_event` on the loop that started it; after a break some come twice, none is lost."""

    def __init__(
        self, engine: DockerClientWrapper, labels: Sequence[str], on_event: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self._engine = engine
        self._labels = labels
        self._on_event = on_event
        self._since = int(time.time())
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._stream: CancellableStream[dict[str, Any]] | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to listen, from now on."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._follow, name="docker-events", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Stop listening; what arrived was handed over."""
        self._closing.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, JOIN_SECONDS)

    def _follow(self) -> None:
        while not self._closing.is_set():
            try:
                self._listen()
            except RuntimeFailed as error:
                log.warning("the engine's events cannot be heard", error=str(error))
            self._closing.wait(PAUSE_SECONDS)

    def _listen(self) -> None:
        stream = self._engine.events(self._labels, self._since)
        with self._lock:
            self._stream = stream
        if self._closing.is_set():
            stream.close()
        for event in stream:
            self._since = int(event.get("time", self._since))
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._on_event, event)
