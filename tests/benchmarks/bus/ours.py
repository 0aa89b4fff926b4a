"""The bus under measurement, with the settings it is shipped with."""

from __future__ import annotations

import asyncio
import time
import uuid

from shared.contracts.base import QueueMeta
from shared.contracts.topology import Stream
from shared.redis.client import RedisStreamClient
from shared.redis.subscription import Delivery, StreamSub
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
    report,
)
from tests.benchmarks.peers.payload import Kind, Priority, values


class Event(QueueMeta):
    """The peers' message as a contract: the same fields, the same JSON."""

    id: uuid.UUID
    kind: Kind
    priority: Priority
    source: str
    subject: str
    causation_id: uuid.UUID
    attempt: int
    sent_ns: int
    note: str


EVENTS: Stream[Event] = Stream(STREAM, Event)
IN_FLIGHT = 1000


def event(number: int) -> Event:
    """Return message `number`, sent now."""
    return Event(**values(number))


async def consume(job: Job) -> None:
    bus, meter = connect(job), Meter(job)

    async def handle(message: Event, _: Delivery) -> None:
        meter.hit(message.sent_ns)

    await bus.ping()
    meter.ready()
    await bus.consume(StreamSub(EVENTS, GROUP, CONSUMER, handle), asyncio.Event())


async def produce(job: Job) -> None:
    """A hundred messages at a time, handed over as a list."""
    bus = connect(job)
    await bus.ping()
    await publish_all(job, lambda numbers: bus.publish_many(EVENTS, [event(number) for number in numbers]))


async def produce_together(job: Job) -> None:
    """A hundred publishes at once, awaited together."""
    bus = connect(job)
    await bus.ping()

    async def send(numbers: range) -> None:
        await asyncio.gather(*[bus.publish(EVENTS, event(number)) for number in numbers])

    await publish_all(job, send)


async def produce_singly(job: Job) -> None:
    """One message after the other, each awaited."""
    bus = connect(job)
    await bus.ping()

    async def send(numbers: range) -> None:
        for number in numbers:
            await bus.publish(EVENTS, event(number))

    await publish_all(job, send)


async def circulate(job: Job) -> None:
    """Publish and handle in one process, never more than so many messages ahead of the handler."""
    bus, stop, handled, started_ns = connect(job), asyncio.Event(), 0, time.monotonic_ns()
    has_come = asyncio.Event()

    async def handle(_: Event, __: Delivery) -> None:
        nonlocal handled
        handled += 1
        has_come.set()

    async def publish() -> None:
        for start in range(0, job.number, BATCH):
            while start - handled > IN_FLIGHT - BATCH:
                has_come.clear()
                await has_come.wait()
            await bus.publish_many(EVENTS, [event(number) for number in range(start, start + BATCH)])
        while handled < job.number:
            has_come.clear()
            await has_come.wait()
        stop.set()

    await bus.ping()
    report(ready=True)
    await asyncio.gather(bus.consume(StreamSub(EVENTS, GROUP, CONSUMER, handle), stop), publish())
    pending = (await bus.stats(EVENTS)).groups[GROUP].pending
    report(first_ns=started_ns, last_ns=time.monotonic_ns(), pending=pending)


async def pace(job: Job) -> None:
    bus = connect(job)
    await bus.ping()
    await publish_paced(job, lambda number: bus.publish(EVENTS, event(number)))


def connect(job: Job) -> RedisStreamClient:
    return RedisStreamClient(url=job.url, service="bench")


if __name__ == "__main__":
    main(
        {
            "consume": consume,
            "produce": produce,
            "produce-together": produce_together,
            "produce-singly": produce_singly,
            "pace": pace,
            "circulate": circulate,
        }
    )
