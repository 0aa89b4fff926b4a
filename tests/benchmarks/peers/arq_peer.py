"""arq, tuned: a hundred jobs at once, a poll every 10 ms, no results kept."""

from __future__ import annotations

import asyncio
from typing import Any

from arq.connections import RedisSettings, create_pool
from arq.worker import Worker, func

from tests.benchmarks.peers.contender import Job, Meter, main, publish_all
from tests.benchmarks.peers.payload import Event, event


async def consume(job: Job) -> None:
    meter = Meter(job)

    async def handle(_: Any, message: dict[str, Any]) -> None:
        meter.hit(Event.model_validate(message).sent_ns)

    worker = Worker(
        functions=[func(handle, name="handle")],
        redis_settings=RedisSettings.from_dsn(job.url),
        handle_signals=False,
        max_jobs=100,
        poll_delay=0.01,
        keep_result=0,
    )
    meter.ready()
    await worker.async_run()


async def produce(job: Job) -> None:
    pool = await create_pool(RedisSettings.from_dsn(job.url))

    async def send(numbers: range) -> None:
        await asyncio.gather(*[pool.enqueue_job("handle", event(number).model_dump()) for number in numbers])

    await publish_all(job, send, step=50)


if __name__ == "__main__":
    main({"consume": consume, "produce": produce})
