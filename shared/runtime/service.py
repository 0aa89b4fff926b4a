"""One process shape for every service: one exit stack, one task group, probes, drain on SIGTERM, 1 on failure."""

from __future__ import annotations

import asyncio
import gc
import random
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

from starlette.types import ASGIApp

from shared.logging import get_logger, register_secret, setup_logging
from shared.redis.bus import Bus
from shared.redis.subscription import StreamSub
from shared.runtime.errors import Category, PlatformError
from shared.runtime.health import Health
from shared.runtime.http import FrontDoor, listen, serve
from shared.runtime.settings import ServiceSettings, secret_values
from shared.runtime.waiting import wait_or_timeout

log = get_logger(__name__)
Compose = Callable[["Composition"], Awaitable[None]]
Job = Callable[[], Awaitable[None]]


class EndedEarly(PlatformError):
    """A part of the process that runs until stop ended by itself."""

    code = "ended_early"
    category = Category.FATAL


class DrainTimeout(PlatformError):
    """Work in hand did not end before the drain deadline; what was not acknowledged is delivered again."""

    code = "drain_timeout"
    category = Category.FATAL


class Composition:
    """What a service's compose() fills: consumers, loops, periodic jobs, its HTTP app, its checks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stack = AsyncExitStack()
        self.stop = asyncio.Event()
        self.health = Health()
        self.front = FrontDoor(self.health)
        self._parts: list[tuple[str, Job]] = []

    def consume(self, bus: Bus, sub: StreamSub[Any]) -> None:
        """Run one consumer for the life of the process; readiness then depends on the bus."""
        self._parts.append((f"consume {sub.stream.name}", lambda: bus.consume(sub, self.stop)))
        self.health.add_check("bus", bus.ping)
        self.health.add_metrics(bus.render_metrics)

    def periodic(
        self,
        name: str,
        action: Job,
        *,
        interval_seconds: float,
        jitter: float = 0.1,
        run_at_start: bool = True,
    ) -> None:
        """Run an action again and again; `jitter` is the share by which each pause varies.

        A PlatformError that is not fatal is logged and the next round comes; any other exception ends the process.
        """

        async def repeat() -> None:
            is_due = run_at_start
            while not self.stop.is_set():
                if is_due:
                    await _one_round(name, action)
                is_due = True
                spread = random.uniform(1 - jitter, 1 + jitter)  # noqa: S311 - spreads load, protects nothing
                await wait_or_timeout(self.stop, interval_seconds * spread)

        self._parts.append((f"periodic {name}", repeat))

    def loop(self, name: str, run: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        """Run a coroutine that returns only after the event it is given is set."""
        self._parts.append((f"loop {name}", lambda: run(self.stop)))

    def mount(self, app: ASGIApp) -> None:
        """Serve the service's own HTTP app behind the probe paths."""
        self.front.app = app

    def ready_check(self, name: str, check: Job) -> None:
        """Let /readyz depend on a check that raises when its dependency is not usable."""
        self.health.add_check(name, check)

    async def run_parts(self) -> None:
        """Run everything that was added until stop; the first failure cancels the rest and is raised."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.stop.wait())
            for name, part in self._parts:
                group.create_task(self._until_stop(name, part), name=name)

    async def _until_stop(self, name: str, part: Job) -> None:
        await part()
        if not self.stop.is_set():
            raise EndedEarly(f"{name} ended although nobody asked it to stop")


async def _one_round(name: str, action: Job) -> None:
    try:
        await action()
    except PlatformError as error:
        if error.category is Category.FATAL:
            raise
        log.warning("periodic job failed", job=name, code=error.code, error=str(error))


def run_service(name: str, settings: ServiceSettings, compose: Compose) -> int:
    """Run a service to its end and return the process's exit code."""
    gc.freeze()  # everything is loaded: an entry point had the collector off until now (quick_start)
    gc.enable()
    setup_logging(name, settings.log_level, settings.log_format)
    for value in secret_values(settings):
        register_secret(value)
    try:
        asyncio.run(_main(name, settings, compose))
    except asyncio.CancelledError:
        log.error("ended by a second signal")
        return 1
    except Exception as failure:  # noqa: BLE001 - the supervisor of the whole process
        for leaf in _leaves(failure):
            _report(leaf)
        return 1
    log.info("stopped")
    return 0


async def _main(name: str, settings: ServiceSettings, compose: Compose) -> None:
    composition = Composition(name)
    _watch_signals(composition)
    listener = listen(settings.http_host, settings.http_port)
    http_stop = asyncio.Event()
    async with composition.stack:
        composition.stack.callback(listener.close)
        await compose(composition)
        host, port = listener.getsockname()[:2]
        async with asyncio.TaskGroup() as group:
            group.create_task(serve(composition.front, listener, http_stop), name="http")
            log.info("started", http=f"http://{host}:{port}")
            await _run_and_drain(composition, settings.drain_seconds)
            http_stop.set()


async def _run_and_drain(composition: Composition, drain_seconds: float) -> None:
    parts = asyncio.create_task(composition.run_parts())
    try:
        stopping = asyncio.create_task(composition.stop.wait())
        await asyncio.wait({parts, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        composition.health.is_draining = True
        done, _ = await asyncio.wait({parts}, timeout=drain_seconds)
        if not done:
            raise DrainTimeout
        await parts
    finally:
        parts.cancel()


def _watch_signals(composition: Composition) -> None:
    """The first SIGTERM or SIGINT drains; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()

    def on_signal() -> None:
        if composition.stop.is_set() and main is not None:
            main.cancel()
        composition.stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)


def _leaves(failure: BaseException) -> Iterator[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        for inner in failure.exceptions:
            yield from _leaves(inner)
    else:
        yield failure


def _report(failure: BaseException) -> None:
    """Log why the process ends; what the platform can name needs no traceback."""
    if isinstance(failure, PlatformError):
        log.error("failed", code=failure.code, error=str(failure))
    else:
        log.error("crashed", exc_info=failure)
