"""dramatiq, tuned: eight threads that fetch a hundred messages ahead."""

from __future__ import annotations

import os
import threading
from typing import Any

from tests.benchmarks.peers.contender import STREAM, Job, Meter, main, publish_all
from tests.benchmarks.peers.payload import Event, event

THREADS = 8
PREFETCH = "100"


def actor_of(job: Job, meter: Meter | None) -> tuple[Any, Any]:
    os.environ.update(dramatiq_queue_prefetch=PREFETCH)  # read when the module is imported
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=job.url)
    dramatiq.set_broker(broker)

    def handle(message: dict[str, Any]) -> None:
        if meter is not None:
            meter.hit(Event.model_validate(message).sent_ns)

    return broker, dramatiq.actor(handle, actor_name="handle", queue_name=STREAM)


def consume(job: Job) -> None:
    meter = Meter(job)
    broker, _ = actor_of(job, meter)
    import dramatiq

    worker = dramatiq.Worker(broker, worker_threads=THREADS)
    meter.ready()
    worker.start()
    threading.Event().wait()


async def produce(job: Job) -> None:
    _, actor = actor_of(job, None)

    async def send(numbers: range) -> None:
        for number in numbers:
            actor.send(event(number).model_dump(mode="json"))

    await publish_all(job, send)


if __name__ == "__main__":
    main({"consume": consume, "produce": produce})
