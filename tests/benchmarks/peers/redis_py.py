"""redis-py as one writes it by hand: the limit. Variants: raw (bytes only), typed (a validated model)."""

from __future__ import annotations

from typing import Any

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

FIELD = b"data"


async def consume(job: Job) -> None:
    redis, meter, is_typed = connect(job), Meter(job), job.variant == "typed"
    await redis.ping()
    meter.ready()
    validate = Event.model_validate_json
    while True:
        reply: Any = await redis.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, count=BATCH, block=2000)
        if not reply:
            continue
        entries = reply[0][1]
        for _, fields in entries:
            if is_typed:
                meter.hit(validate(fields[FIELD]).sent_ns)
            else:
                meter.hit()
        await redis.xack(STREAM, GROUP, *[entry_id for entry_id, _ in entries])


async def produce(job: Job) -> None:
    """One pipeline of a hundred after the other."""
    redis, body = connect(job), body_of(0)
    await redis.ping()

    async def send(numbers: range) -> None:
        pipeline = redis.pipeline(transaction=False)
        for number in numbers:
            pipeline.xadd(STREAM, {FIELD: body_of(number) if job.variant == "typed" else body})
        await pipeline.execute()

    await publish_all(job, send)


async def produce_singly(job: Job) -> None:
    """One message after the other, each awaited."""
    redis, body = connect(job), body_of(0)
    await redis.ping()

    async def send(numbers: range) -> None:
        for number in numbers:
            await redis.xadd(STREAM, {FIELD: body_of(number) if job.variant == "typed" else body})

    await publish_all(job, send)


async def pace(job: Job) -> None:
    redis = connect(job)
    await redis.ping()

    async def send(number: int) -> None:
        await redis.xadd(STREAM, {FIELD: body_of(number)})

    await publish_paced(job, send)


def body_of(number: int) -> bytes:
    return event(number).model_dump_json().encode()


def connect(job: Job) -> Redis:
    return Redis.from_url(job.url, socket_timeout=None)


if __name__ == "__main__":
    main({"consume": consume, "produce": produce, "produce-singly": produce_singly, "pace": pace})
