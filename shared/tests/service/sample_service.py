"""A service for the runner's tests: MODE says what goes wrong. Not a test; started as a process of its own."""

from __future__ import annotations

import asyncio
import sys

from shared.contracts.queues.work import EngineeringMessage
from shared.contracts.topology import ENGINEERING_QUEUE
from shared.logging import get_logger
from shared.redis.client import RedisStreamClient
from shared.redis.subscription import Delivery, StreamSub
from shared.runtime.errors import Category, PlatformError
from shared.runtime.service import Composition, run_service
from shared.runtime.settings import ServiceSettings

log = get_logger("sample")


class SampleSettings(ServiceSettings):
    mode: str = "work"
    handler_seconds: float = 0.0


class NotToday(PlatformError):
    """The sample was told to fail."""

    code = "not_today"
    category = Category.FATAL


async def compose(composition: Composition) -> None:
    settings = SampleSettings()
    if settings.mode == "compose-fails":
        raise NotToday
    bus = RedisStreamClient(url=settings.redis_url.get_secret_value(), service="sample")
    composition.stack.push_async_callback(bus.close)

    async def handler(message: EngineeringMessage, _: Delivery) -> None:
        log.info("handling", task=message.task_id)
        if settings.mode == "handler-fatal":
            raise NotToday
        await asyncio.sleep(settings.handler_seconds)
        log.info("handled", task=message.task_id)

    async def crash(_: asyncio.Event) -> None:
        raise RuntimeError(f"a bug near {settings.redis_url.get_secret_value()}")

    sub = StreamSub(ENGINEERING_QUEUE, "sample", settings.consumer_name("sample"), handler)
    composition.consume(bus, sub)
    if settings.mode == "loop-crashes":
        composition.loop("crash", crash)


if __name__ == "__main__":
    sys.exit(run_service("sample", SampleSettings(), compose))
