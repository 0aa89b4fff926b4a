"""Relays run events to chats: one message per run, edited in place, then a final one."""

from __future__ import annotations

import asyncio

from shared.clients.api_port import Api
from shared.contracts.dto.work import RunDTO
from shared.contracts.queues.events import RunEvent
from shared.contracts.vocabulary import ChatDirection, RunEventType, TaskType
from shared.infra import Clock
from shared.redis.subscription import Delivery
from telegram_bot import render
from telegram_bot.sender import Sender

QUIET = frozenset(
    {
        RunEventType.NODE_STARTED,
        RunEventType.NODE_FINISHED,
        RunEventType.TOKENS_USED,
        RunEventType.TOOL_USED,
        RunEventType.DEBUG_TRACE,
    }
)


class Progress:
    """Hears run events; edits at most once per interval and run, and always says how a run ended."""

    def __init__(self, api: Api, sender: Sender, clock: Clock, edit_interval_seconds: float) -> None:
        self._api = api
        self._sender = sender
        self._clock = clock
        self._interval = edit_interval_seconds
        self._edited_at: dict[str, float] = {}
        self._dirty: dict[str, RunEvent] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def on_event(self, event: RunEvent, _: Delivery) -> None:
        """Hear one run event."""
        if event.type is RunEventType.RUN_FINISHED:
            await self._finish(event)
        elif event.type is RunEventType.WAITING:
            await self._tell_waiting(event)
        elif event.type not in QUIET:
            self._dirty[event.run_id] = event
            await self.flush()

    async def flush(self) -> None:
        """Edit the messages of runs that changed and whose interval has passed."""
        now = self._clock.monotonic()
        due = [run_id for run_id in self._dirty if now - self._edited_at.get(run_id, float("-inf")) >= self._interval]
        for run_id in due:
            event = self._dirty.pop(run_id, None)
            if event is not None:  # another flush may have taken it meanwhile
                self._edited_at[run_id] = now
                await self._show(event)

    async def _chat_of(self, user_id: str) -> int | None:
        rows = await self._api.list_chat_messages(user_id=user_id, direction=ChatDirection.IN)
        return rows[-1].chat_id if rows else None

    async def _show(self, event: RunEvent) -> RunDTO | None:
        async with self._locks.setdefault(event.run_id, asyncio.Lock()):
            chat_id = await self._chat_of(event.user_id)
            run = await self._api.get_run(event.run_id)
            if chat_id is None:
                return run
            project = await self._api.get_project(event.project_id)
            text = render.progress(project, run, await self._api.list_events(event.run_id))
            row = await self._sender.say(event.user_id, chat_id, f"progress:{event.run_id}", text)
            if row is not None:
                await self._sender.change(row, text)
            return run

    async def _finish(self, event: RunEvent) -> None:
        self._dirty.pop(event.run_id, None)
        run = await self._show(event)
        self._edited_at.pop(event.run_id, None)
        chat_id = await self._chat_of(event.user_id)
        if run is None or chat_id is None:
            return
        text = render.final(await self._api.get_project(event.project_id), run)
        if text is not None:
            await self._sender.say(event.user_id, chat_id, f"final:{event.run_id}", text)
        self._locks.pop(event.run_id, None)

    async def _tell_waiting(self, event: RunEvent) -> None:
        chat_id = await self._chat_of(event.user_id)
        if chat_id is not None:
            project = await self._api.get_project(event.project_id)
            what = "Building" if event.kind is TaskType.ENGINEERING else "Deploying"
            text = f"{what} {project.name} waits: {render.waiting_text(event.payload)}"
            await self._sender.say(event.user_id, chat_id, f"waiting:{event.run_id}:{event.seq}", text)
