"""Listens to the output of every PO worker: one consumer per worker, begun when the worker is first heard of."""

from __future__ import annotations

import asyncio

from shared.contracts.queues.workers import POWorkerOutput
from shared.contracts.topology import PO_OUTPUT
from shared.redis.bus import Bus
from shared.redis.subscription import StreamSub
from telegram_bot.lanes import Lanes
from telegram_bot.sessions import Sessions

GROUP = "telegram-bot"


class Listeners:
    """Keeps the consumers in one task group; the first failure ends the process."""

    def __init__(self, bus: Bus, lanes: Lanes, sessions: Sessions, consumer: str) -> None:
        self._bus = bus
        self._lanes = lanes
        self._sessions = sessions
        self._consumer = consumer

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until told to stop; sessions known from before are picked up first."""
        begun: set[str] = set()
        async for _, worker_id in self._sessions.known():
            self._lanes.on_worker.put_nowait(worker_id)
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(stop.wait())
            while not stop.is_set():
                heard = asyncio.ensure_future(self._lanes.on_worker.get())
                await asyncio.wait({heard, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not heard.done():
                    heard.cancel()
                elif (worker_id := heard.result()) not in begun:
                    begun.add(worker_id)
                    group.create_task(self._bus.consume(self._subscription(worker_id), stop), name=f"po-{worker_id}")

    def _subscription(self, worker_id: str) -> StreamSub[POWorkerOutput]:
        return StreamSub(
            stream=PO_OUTPUT.at(worker_id),
            group=GROUP,
            consumer=self._consumer,
            handler=self._lanes.on_output,
            concurrency=1,
            service=GROUP,
        )
