"""Learns of the end of processes that are not our children, through pidfds on the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from shared.logging import get_logger
from shared.runtime.errors import PlatformError
from worker_manager.runtime.processes import ProcessIdentity

log = get_logger(__name__)


class ExitWatcher:
    """Calls `on_end(name)` once for each watched name, then lets those go who wait for its end."""

    def __init__(self, on_end: Callable[[str], Awaitable[None]]) -> None:
        self._on_end = on_end
        self._descriptors: dict[str, int] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def watch(self, name: str, process: ProcessIdentity) -> None:
        """Watch a process; one that is gone already ends at once. A repeat changes nothing."""
        if name in self._ended:
            return
        self._ended[name] = asyncio.Event()
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            self._settle(name)
            return
        # Looked at after the descriptor was taken: from here on the pid cannot pass to another process unseen.
        if not process.is_alive():
            os.close(descriptor)
            self._settle(name)
            return
        self._descriptors[name] = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._readable, name)

    async def wait(self, name: str, seconds: float) -> bool:
        """Wait for a watched process's end and what follows it; tell whether it came in time."""
        ended = self._ended.get(name)
        if ended is None:
            return True
        try:
            async with asyncio.timeout(seconds):
                await ended.wait()
        except TimeoutError:
            return False
        return True

    def forget(self, name: str) -> None:
        """Let the name be watched anew."""
        self._release(name)
        self._ended.pop(name, None)

    async def close(self) -> None:
        for name in list(self._descriptors):
            self._release(name)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _readable(self, name: str) -> None:
        self._release(name)
        self._settle(name)

    def _release(self, name: str) -> None:
        descriptor = self._descriptors.pop(name, None)
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    def _settle(self, name: str) -> None:
        task = asyncio.get_running_loop().create_task(self._end(name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self, name: str) -> None:
        try:
            await self._on_end(name)
        except PlatformError as error:
            log.error("what follows a worker's end failed", worker_id=name, code=error.code, error=str(error))
        finally:
            if name in self._ended:
                self._ended[name].set()
