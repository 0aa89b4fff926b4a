"""Plays the user at the emulated Telegram: sends messages, hears what the bot says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Self

import httpx
from pydantic import BaseModel, ConfigDict

from local_stack.errors import DemoFailed
from shared.clients.http import trust_for


class ChatEvent(BaseModel):
    """One entry of a chat's log: something sent, edited or deleted by either side."""

    model_config = ConfigDict(extra="ignore")

    event: int
    kind: str
    message_id: int
    text: str | None = None
    from_bot: bool = False

    @property
    def is_from_bot(self) -> bool:
        return self.from_bot and self.kind in {"sent", "edited"}


class UserChat:
    """One user's side of one chat."""

    def __init__(self, base_url: str, user_id: int, name: str = "Ada") -> None:
        self._client = httpx.AsyncClient(base_url=base_url, timeout=60.0, verify=trust_for(base_url))
        self.user_id = user_id
        self._name = name
        self._last_event = 0

    async def __aenter__(self) -> Self:
        body = {"id": self.user_id, "first_name": self._name, "username": self._name.lower()}
        (await self._client.post("/_emulator/users", json=body)).raise_for_status()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def send(self, text: str) -> None:
        """Write a message to the bot."""
        answer = await self._client.post("/_emulator/messages", json={"user_id": self.user_id, "text": text})
        answer.raise_for_status()

    async def events(self, wait_seconds: float = 20.0) -> list[ChatEvent]:
        """Return what happened since the last call, waiting a while when nothing has."""
        answer = await self._client.get(
            f"/_emulator/chats/{self.user_id}/messages",
            params={"after_event": self._last_event, "wait_seconds": wait_seconds},
        )
        answer.raise_for_status()
        events = [ChatEvent.model_validate(entry) for entry in answer.json()]
        if events:
            self._last_event = max(event.event for event in events)
        return events

    async def wait_for(
        self, wanted: Callable[[ChatEvent], bool], deadline_seconds: float, hear: Callable[[ChatEvent], None]
    ) -> ChatEvent:
        """Return the first event that is wanted; DemoFailed names the last thing heard when none comes in time."""
        end = time.monotonic() + deadline_seconds
        last = "nothing"
        while (left := end - time.monotonic()) > 0:
            try:
                events = await self.events(min(left, 20.0))
            except httpx.TransportError:
                await asyncio.sleep(0.2)
                continue
            for event in events:
                hear(event)
                if event.is_from_bot:
                    last = event.text or ""
                if wanted(event):
                    return event
        raise DemoFailed(f"no answer came within {deadline_seconds:.0f} s; the last thing the bot said: {last}")
