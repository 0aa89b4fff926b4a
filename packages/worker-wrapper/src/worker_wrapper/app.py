"""The worker's process: signals, orphans, one wrapper, one exit code."""

from __future__ import annotations

import asyncio
import signal

from shared.logging import get_logger, register_secret, setup_logging
from shared.runtime.errors import PlatformError
from worker_wrapper.connections import connect
from worker_wrapper.pid1 import OrphanReaper, adopt_orphans, end_strays
from worker_wrapper.process import ChildProcesses
from worker_wrapper.settings import WrapperSettings
from worker_wrapper.wrapper import WorkerWrapper

FAREWELL_SECONDS = 2.0

logger = get_logger(__name__)


def run(settings: WrapperSettings) -> int:
    """Run the worker to its end and return the process's exit code: 0 after SIGTERM, 1 when it cannot go on."""
    setup_logging("worker-wrapper")
    for secret in settings.secrets:
        register_secret(secret)
    return asyncio.run(serve(settings))


async def serve(settings: WrapperSettings) -> int:
    """Live until SIGTERM or SIGINT, or until Redis stays away for too long."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    children = ChildProcesses()
    reaper = OrphanReaper(children)
    adopts = adopt_orphans()
    if adopts:
        reaper.install()
    redis = connect(settings)
    wrapper = WorkerWrapper(redis=redis, worker_id=settings.worker_id, settings=settings, children=children, stop=stop)
    try:
        await wrapper.run()
    except PlatformError as error:
        logger.error("worker_failed", error=str(error), code=error.code)
        return 1
    else:
        await _say_farewell(wrapper)
        return 0
    finally:
        await wrapper.close()
        await redis.aclose()
        if adopts:
            reaper.uninstall()
            end_strays(children)


async def _say_farewell(wrapper: WorkerWrapper) -> None:
    try:
        await asyncio.wait_for(wrapper.say_stopped(), FAREWELL_SECONDS)
    except (PlatformError, TimeoutError) as error:
        logger.warning("farewell_not_heard", error=str(error))
