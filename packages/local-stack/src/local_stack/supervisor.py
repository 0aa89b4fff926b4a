"""Keeps the stack's processes alive: starts them, restarts what ends, stops them in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from local_stack.children import Child, ChildSpec
from local_stack.errors import ChildFailed
from shared.clients.http import trust_for

BACK_OFF_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
QUICK_DEATH_SECONDS = 5.0
READY_POLL_SECONDS = 0.05
HOPELESS_DEATHS = 8

Listener = Callable[[str, Child], None]


class Supervisor:
    """Owns the children. `on_event(event, child)` hears started, ready, exited, stopped."""

    def __init__(self, logs: Path, on_event: Listener, *, back_off_seconds: Sequence[float] = BACK_OFF_SECONDS) -> None:
        self._logs = logs
        self._on_event = on_event
        self._back_off_seconds = back_off_seconds
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_stopping = False
        self.children: dict[str, Child] = {}
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def add(self, spec: ChildSpec) -> Child:
        """Begin to keep a process alive."""
        child = Child(spec, self._logs / f"{spec.name}.log")
        self.children[spec.name] = child
        self._tasks[spec.name] = asyncio.create_task(self._keep(child), name=f"keep-{spec.name}")
        return child

    async def remove(self, name: str, grace_seconds: float = 8.0) -> ChildSpec:
        """Stop one child for good and return its spec, with which it can be added again."""
        keeper, child = self._tasks.pop(name), self.children.pop(name)
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        await child.stop(grace_seconds)
        self._on_event("stopped", child)
        return child.spec

    async def _keep(self, child: Child) -> None:
        try:
            await self._wait_for_requirement(child)
            while await self._lived_and_died(child):
                self._on_event("exited", child)
                await self._back_off(child)
        except OSError as error:
            self._fail(child, f"{child.spec.name} cannot be started: {error}")

    async def _lived_and_died(self, child: Child) -> bool:
        """Run one life of a child; tell whether it should have another."""
        if self._is_stopping:
            return False
        await child.start()
        self._on_event("started", child)
        watcher = asyncio.create_task(self._watch_ready(child))
        try:
            assert child.process is not None
            child.last_exit = await child.process.wait()
        finally:
            watcher.cancel()
            child.is_ready = False
            child.ready.clear()
        return not self._is_stopping

    async def _wait_for_requirement(self, child: Child) -> None:
        path = child.spec.requires
        while path is not None and not path.exists():
            await asyncio.sleep(READY_POLL_SECONDS)

    async def _back_off(self, child: Child) -> None:
        lived = time.monotonic() - child.started_at
        child.quick_deaths = child.quick_deaths + 1 if lived < QUICK_DEATH_SECONDS else 0
        child.restarts += 1
        if child.quick_deaths >= HOPELESS_DEATHS:
            self._fail(
                child,
                f"{child.spec.name} ended {child.quick_deaths} times right after its start"
                f" (exit {child.last_exit}); its log {child.log_path} ends with:\n{child.log_tail()}",
            )
        pauses = self._back_off_seconds
        await asyncio.sleep(pauses[min(child.quick_deaths, len(pauses) - 1)])

    def _fail(self, child: Child, text: str) -> None:
        if not self.failure.done():
            self.failure.set_exception(ChildFailed(text))

    async def _watch_ready(self, child: Child) -> None:
        if child.spec.ready_url is not None:
            async with httpx.AsyncClient(timeout=2.0, verify=trust_for(child.spec.ready_url)) as client:
                while not await _answers(client, child.spec.ready_url):
                    await asyncio.sleep(READY_POLL_SECONDS)
        child.is_ready = True
        child.ready.set()
        self._on_event("ready", child)

    async def wait_ready(self, names: list[str], deadline_seconds: float) -> None:
        """Wait until the named children answer; ChildFailed names the one that does not."""
        waits = asyncio.gather(*(self.children[name].ready.wait() for name in names))
        waits.add_done_callback(_seen)
        watched: set[asyncio.Future[Any]] = {waits, self.failure}
        try:
            done, _ = await asyncio.wait(watched, timeout=deadline_seconds, return_when=asyncio.FIRST_COMPLETED)
            if self.failure in done:
                await self.failure
            if not done:
                late = next(name for name in names if not self.children[name].is_ready)
                child = self.children[late]
                raise ChildFailed(
                    f"{late} did not become ready within {deadline_seconds:.0f} s;"
                    f" its log {child.log_path} ends with:\n{child.log_tail()}"
                )
        finally:
            waits.cancel()

    async def stop(self, grace_seconds: float = 8.0) -> None:
        """Stop the children by their stop order; nothing is restarted any more."""
        self._is_stopping = True
        for order in sorted({child.spec.stop_order for child in self.children.values()}):
            group = [child for child in self.children.values() if child.spec.stop_order == order]
            await asyncio.gather(*(self._stop_one(child, grace_seconds) for child in group))
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if not self.failure.cancel() and not self.failure.cancelled():
            self.failure.exception()  # seen, whoever waited for it

    async def _stop_one(self, child: Child, grace_seconds: float) -> None:
        await child.stop(grace_seconds)
        self._on_event("stopped", child)


def _seen(waits: asyncio.Future[Any]) -> None:
    """Mark a cancelled wait as looked at, so that nobody warns about it."""
    if not waits.cancelled():
        waits.exception()


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.HTTPError:
        return False
