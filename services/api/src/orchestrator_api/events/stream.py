"""One reader of one run over Server-Sent Events: backfill from the rows, then live; ends after RunFinished."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchestrator_api.errors import DatabaseUnavailable
from orchestrator_api.events.hub import EventHub, Frame, Topic

KEEPALIVE_COMMENT = b": keep-alive\n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class EventStream(Response):
    """Sends frames as they are, straight to the server: nothing is encoded per reader."""

    def __init__(self, hub: EventHub, run_id: str, from_seq: int, stop: asyncio.Event) -> None:
        super().__init__()
        self._hub = hub
        self._run_id = run_id
        self._next_seq = from_seq
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        with self._hub.follow(self._run_id) as topic:
            parts = [asyncio.create_task(self._follow(topic, send)), asyncio.create_task(_until_gone(receive))]
            try:
                await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for part in parts:
                    part.cancel()
                outcomes = await asyncio.gather(*parts, return_exceptions=True)
        # an outage ends the stream; the reader comes back with Last-Event-ID and misses nothing
        bugs = [item for item in outcomes if isinstance(item, Exception) and not isinstance(item, DatabaseUnavailable)]
        if bugs:
            raise bugs[0]
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _follow(self, topic: Topic, send: Send) -> None:
        async def write(body: bytes) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": True})

        await write(KEEPALIVE_COMMENT)
        while not self._stop.is_set():
            changed = topic.changed
            frames = topic.frames_from(self._next_seq)
            if frames is None:
                if await self._backfill(topic, write):
                    return
            elif frames:
                if await self._write(frames, write):
                    return
            else:
                await changed.wait()
                if topic.last_seq is not None and topic.last_seq < self._next_seq:
                    await write(KEEPALIVE_COMMENT)

    async def _backfill(self, topic: Topic, write: Callable[[bytes], Awaitable[None]]) -> bool:
        """Send one page of rows; tell whether the run's last event was among them."""
        frames = await self._hub.page(self._run_id, self._next_seq)
        if not frames:
            topic.start_after(self._next_seq - 1)
            self._hub.mark(self._run_id)
            return False
        return await self._write(frames, write)

    async def _write(self, frames: list[Frame], write: Callable[[bytes], Awaitable[None]]) -> bool:
        await write(b"".join(frame.data for frame in frames))
        self._next_seq = frames[-1].seq + 1
        return frames[-1].is_last


async def _until_gone(receive: Receive) -> None:
    """Return when the reader has left."""
    while (await receive())["type"] != "http.disconnect":
        continue
