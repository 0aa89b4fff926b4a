"""FastStream. Variants: default, workers (ten handlers at once), batch (a handler of lists, its fastest)."""

from __future__ import annotations

import asyncio
from typing import Any

from faststream.redis import RedisBroker, StreamSub
from redis.asyncio import Redis

from tests.benchmarks.peers.contender import (
    BATCH,
    CONSUMER,
    GROUP,
    STREAM,
    Job,
    Meter,
    main,
    publish_all,
    publish_paced,
)
from tests.benchmarks.peers.payload import Event, event


async def consume(job: Job) -> None:
    broker, meter = RedisBroker(job.url, logger=None), Meter(job)

    async def handle(message: Event) -> None:
        meter.hit(message.sent_ns)

    async def handle_list(messages: list[Event]) -> None:
        for message in messages:
            meter.hit(message.sent_ns)

    options: dict[str, Any] = {"group": GROUP, "consumer": CONSUMER}
    if job.variant == "batch":
        broker.subscriber(stream=StreamSub(STREAM, batch=True, max_records=BATCH, **options))(handle_list)
    elif job.variant == "workers":
        broker.subscriber(stream=StreamSub(STREAM, max_records=BATCH, **options), max_workers=10)(handle)
    else:
        broker.subscriber(stream=StreamSub(STREAM, **options))(handle)
    await broker.start()
    meter.ready()
    await asyncio.Event().wait()


async def produce(job: Job) -> None:
    broker = RedisBroker(job.url, logger=None)
    await broker.connect()
    redis: Redis = Redis.from_url(job.url)

    async def one_by_one(numbers: range) -> None:
        for number in numbers:
            await broker.publish(event(number), stream=STREAM)

    async def in_pipeline(numbers: range) -> None:
        pipeline = redis.pipeline(transaction=False)
        for number in numbers:
            await broker.publish(event(number), stream=STREAM, pipeline=pipeline)
        await pipeline.execute()

    await publish_all(job, one_by_one if job.variant == "default" else in_pipeline)


async def produce_together(job: Job) -> None:
    """A hundred publishes at once, awaited together."""
    broker = RedisBroker(job.url, logger=None)
    await broker.connect()

    async def send(numbers: range) -> None:
        await asyncio.gather(*[broker.publish(event(number), stream=STREAM) for number in numbers])

    await publish_all(job, send)


async def pace(job: Job) -> None:
    broker = RedisBroker(job.url, logger=None)
    await broker.connect()
    await publish_paced(job, lambda number: broker.publish(event(number), stream=STREAM))


if __name__ == "__main__":
    main({"consume": consume, "produce": produce, "produce-together": produce_together, "pace": pace})
