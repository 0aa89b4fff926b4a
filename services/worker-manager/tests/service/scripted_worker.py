"""A program in the wrapper's place: speaks its protocol and does what the prompt says (answer, sleep, exit N)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import Any

from redis.asyncio import Redis

from shared.contracts.queues.workers import (
    DeveloperWorkerInput,
    DeveloperWorkerOutput,
    LifecycleEvent,
    POWorkerInput,
    POWorkerOutput,
    WorkerLifecycleEvent,
)
from shared.contracts.topology import DEVELOPER_INPUT, DEVELOPER_OUTPUT, PO_INPUT, PO_OUTPUT, WORKER_LIFECYCLE, Stream
from shared.contracts.vocabulary import ResultStatus
from shared.redis.client import RedisStreamClient

PROGRESS = ("request_id", "task_id", "run_id", "input_stream", "input_entry_id", "claimed_at")


async def main() -> int:
    worker_id, is_po = os.environ["WORKER_ID"], os.environ["WORKER_TYPE"] == "po"
    key = f"worker:status:{worker_id}"
    redis = Redis.from_url(os.environ["REDIS_URL"], socket_timeout=30)
    bus = RedisStreamClient(url=os.environ["REDIS_URL"])
    stream: Stream[Any] = (PO_INPUT if is_po else DEVELOPER_INPUT).at(worker_id)
    await bus.publish(WORKER_LIFECYCLE, WorkerLifecycleEvent(worker_id=worker_id, event=LifecycleEvent.STARTED))
    while True:
        for received in await bus.fetch(stream, "worker-wrapper", worker_id, block_ms=1000):
            message = received.message
            fields = {"request_id": message.request_id, "input_stream": stream.name}
            fields |= {"input_entry_id": received.entry_id, "claimed_at": str(int(time.time() * 1000))}
            if isinstance(message, DeveloperWorkerInput):
                fields |= {"task_id": message.task_id, "fence": str(message.fence)}
            for name, value in fields.items():
                await redis.hset(key, name, value)
            verb, _, argument = message.prompt.partition(" ")
            if verb == "exit":
                return int(argument)
            if verb == "sleep":
                signal.pause()
            await answer(bus, worker_id, message)
            await redis.hdel(key, *PROGRESS)
            await bus.ack(stream, "worker-wrapper", received.entry_id)


async def answer(bus: RedisStreamClient, worker_id: str, message: POWorkerInput | DeveloperWorkerInput) -> None:
    if isinstance(message, POWorkerInput):
        await bus.publish(
            PO_OUTPUT.at(worker_id),
            POWorkerOutput(
                request_id=message.request_id, status=ResultStatus.SUCCESS, user_id=message.user_id, text="hello"
            ),
        )
        return
    await bus.publish(
        DEVELOPER_OUTPUT,
        DeveloperWorkerOutput(request_id=message.request_id, status=ResultStatus.SUCCESS, task_id=message.task_id),
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.exit(asyncio.run(main()))
