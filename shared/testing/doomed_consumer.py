"""A consumer in a process of its own that is killed at a chosen step: what it leaves is what a crash leaves.

The processes are forked from one that has everything imported, so each costs milliseconds.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from redis.asyncio import Redis

from shared.contracts.queues.work import EngineeringMessage
from shared.contracts.topology import ENGINEERING_QUEUE, Stream
from shared.redis.client import RedisStreamClient
from shared.redis.connections import run
from shared.redis.group_log import RedisGroupLog
from shared.redis.log import GroupLog
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import Delivery, StreamSub
from shared.runtime.errors import PlatformError

QUEUE: Stream[EngineeringMessage] = Stream(ENGINEERING_QUEUE.name, ENGINEERING_QUEUE.model, retention=10)
GROUP = "langgraph"
EFFECTS = "test:effects"
POISON, FLAKY, SLOW, ENDLESS = "poison", "flaky", "slow", "endless"
STARTED, CANCELLED = "endless: started", "endless: cancelled"
SLOW_SECONDS = 0.2
IDLE_MS = 150
RETRY = RetryPolicy.immediate(transient=2)
# Each call of the log below the consumer, and its handler. What happens once per start comes first.
STEPS = ("hold_name", "ensure", "read_own", "read_new", "admit", "handle", "claim", "bury", "ack", "trim")
STEPS_OF_WAITING = ("keep_name", "keep", "has_idle", "sweep")
END_SECONDS = 30.0


class Unlucky(PlatformError):
    """The effect did not work this time."""

    code = "unlucky"


@dataclass(frozen=True, slots=True)
class Fate:
    """The process is killed before its first call of a step, or after the first that succeeds."""

    step: str
    when: Literal["before", "after"]


class Fuse:
    """Kills the process in time."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate

    def around(self, step: str, action: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return an action that may be the last."""
        if step != self._fate.step:
            return action

        async def fused(*arguments: Any) -> None:
            if self._fate.when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            await action(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        return fused


class FusedLog(RedisGroupLog):
    """The real log with a fuse at its methods."""

    fuse: Fuse | None = None

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        fuse = super().__getattribute__("fuse")
        return fuse.around(name, found) if fuse is not None and name in (*STEPS, *STEPS_OF_WAITING) else found


class FusedClient(RedisStreamClient):
    """The real bus whose consumers have a fuse."""

    def __init__(self, url: str, fuse: Fuse) -> None:
        super().__init__(url=url, service="doomed", retry=RETRY)
        self._fuse = fuse

    def _open_log(self, sub: StreamSub[Any]) -> GroupLog:
        log = FusedLog(self._connections, sub.stream.name, sub.group, sub.consumer, block_ms=20, retention=10)
        log.fuse = self._fuse
        return log


class Effects:
    """A handler whose effects are seen in Redis: one of its tasks fails always, one the first time, one is slow.

    The endless one ends at its second delivery only.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def __call__(self, message: EngineeringMessage, delivery: Delivery) -> None:
        if message.task_id == POISON or (message.task_id == FLAKY and delivery.attempt == 1):
            raise Unlucky
        if message.task_id == SLOW:
            await asyncio.sleep(SLOW_SECONDS)
        if message.task_id == ENDLESS and delivery.attempt == 1:
            await self._never_end()
        await self._note(message.task_id)

    async def _never_end(self) -> None:
        await self._note(STARTED)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await self._note(CANCELLED)
            raise

    async def _note(self, effect: str) -> None:
        await run(self._redis, "HINCRBY", EFFECTS, effect, 1)

    async def counts(self) -> dict[str, int]:
        """Return how often each task had its effect."""
        found: dict[bytes, bytes] = await run(self._redis, "HGETALL", EFFECTS)
        return {task.decode(): int(count) for task, count in found.items()}


def subscription(
    consumer: str, handler: Callable[[EngineeringMessage, Delivery], Awaitable[None]]
) -> StreamSub[EngineeringMessage]:
    """Return the subscription of the doomed and of its heir."""
    return StreamSub(
        QUEUE,
        GROUP,
        consumer,
        handler,
        concurrency=2,
        batch=8,
        block_ms=20,
        reclaim_idle_ms=IDLE_MS,
        message_id=lambda message: message.task_id,
    )


async def live_and_die(url: str, fate: Fate, consumer: str) -> int | None:
    """Run a doomed consumer to its end and return its exit code; None when it never came to its step."""
    async with living(url, fate, consumer) as process:
        await asyncio.to_thread(process.join, END_SECONDS)
        return process.exitcode


@asynccontextmanager
async def living(url: str, fate: Fate, consumer: str) -> AsyncIterator[BaseProcess]:
    """Run a consumer in a process of its own while the block runs, or until its fate comes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "pytest"])
    process = context.Process(target=_live, args=(url, fate, consumer), daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.join)
        process.close()


def _live(url: str, fate: Fate, consumer: str) -> None:
    asyncio.run(_consume(url, fate, consumer))


async def _consume(url: str, fate: Fate, consumer: str) -> None:
    fuse = Fuse(fate)
    bus = FusedClient(url, fuse)
    effects = Effects(Redis.from_url(url, socket_timeout=30))
    await bus.consume(subscription(consumer, fuse.around("handle", effects)), asyncio.Event())
