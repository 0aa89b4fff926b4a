"""taskiq with its Redis Streams broker; a hundred tasks are sent at once."""

from __future__ import annotations

import asyncio
from typing import Any

from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from tests.benchmarks.peers.contender import STREAM, Job, Meter, main, publish_all
from tests.benchmarks.peers.payload import Event, event


def broker_of(job: Job, meter: Meter | None) -> tuple[Any, Any]:
    broker = RedisStreamBroker(job.url, queue_name=f"{STREAM}:taskiq")

    async def handle(message: Event) -> None:
        if meter is not None:
            meter.hit(message.sent_ns)

    return broker, broker.register_task(handle, task_name="handle")


async def consume(job: Job) -> None:
    meter = Meter(job)
    broker, _ = broker_of(job, meter)
    await broker.startup()
    meter.ready()
    await run_receiver_task(broker)


async def produce(job: Job) -> None:
    broker, task = broker_of(job, None)
    await broker.startup()

    async def send(numbers: range) -> None:
        await asyncio.gather(*[task.kiq(event(number)) for number in numbers])

    await publish_all(job, send)


if __name__ == "__main__":
    main({"consume": consume, "produce": produce})
