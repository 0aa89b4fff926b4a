"""One user's side of a chat, remembered whole, so that a test can ask what was said and how often."""

from __future__ import annotations

import time
from collections.abc import Callable

from local_stack.demo.facts import Facts
from local_stack.stack import Stack
from local_stack.testing.waiting import NeverHappened, eventually
from local_stack.user_chat import ChatEvent, UserChat
from shared.contracts.dto.accounts import UserDTO
from shared.redis.bus import Bus

POLL_SECONDS = 5.0
TOLD_AT_FAILURE = 12


def is_link(event: ChatEvent) -> bool:
    """Tell whether the bot sent a message with an address."""
    return event.from_bot and event.kind == "sent" and "http://" in (event.text or "")


class Conversation:
    """Everything heard stays in `heard`; `until` looks only at what came after the last thing said."""

    def __init__(self, stack: Stack, bus: Bus, chat: UserChat) -> None:
        self._stack = stack
        self._bus = bus
        self._chat = chat
        self._mark = 0
        self.heard: list[ChatEvent] = []

    @property
    def telegram_id(self) -> int:
        return self._chat.user_id

    async def say(self, text: str) -> None:
        """Write a message to the bot."""
        await self._hear(0)
        self._mark = len(self.heard)
        await self._chat.send(text)

    async def _hear(self, wait_seconds: float) -> None:
        self.heard += await self._chat.events(wait_seconds)

    async def until(self, wanted: Callable[[ChatEvent], bool], deadline_seconds: float, what: str) -> ChatEvent:
        """Return the first event since the last thing said that is wanted; NeverHappened tells the chat."""
        end = time.monotonic() + deadline_seconds
        looked_at = self._mark
        while True:
            for event in self.heard[looked_at:]:
                if wanted(event):
                    return event
            looked_at = len(self.heard)
            left = end - time.monotonic()
            if left <= 0:
                raise NeverHappened(f"{what} was not said within {deadline_seconds:.0f} s; the chat:\n{self.told()}")
            await self._hear(min(left, POLL_SECONDS))

    async def until_text(self, text: str, deadline_seconds: float) -> ChatEvent:
        """Return the first message of the bot, sent or edited, that contains a text."""
        return await self.until(
            lambda event: event.is_from_bot and text in (event.text or ""), deadline_seconds, repr(text)
        )

    async def link(self, deadline_seconds: float) -> str:
        """Return the address the bot answers the last message with."""
        event = await self.until(is_link, deadline_seconds, "a link")
        text = event.text or ""
        return text[text.index("http://") :].split()[0]

    async def silence(self, seconds: float) -> None:
        """Listen for that long, whatever comes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await self._hear(min(left, POLL_SECONDS))

    def told(self, last: int = TOLD_AT_FAILURE) -> str:
        """Return the end of the chat, for people."""
        return "\n".join(
            f"  {'bot' if event.from_bot else 'you'} {event.kind} {event.message_id}: {(event.text or '')[:600]}"
            for event in self.heard[-last:]
        )

    async def all_heard(self) -> list[ChatEvent]:
        """Return the whole chat as it is now."""
        await self._hear(0)
        return self.heard

    def sent_by_bot(self) -> list[str]:
        """Return the texts of the messages the bot sent, as they were first."""
        return [event.text or "" for event in self.heard if event.from_bot and event.kind == "sent"]

    def texts_of(self, marker: str) -> list[str]:
        """Return what the bot said or edited that contains a text."""
        return [event.text or "" for event in self.heard if event.is_from_bot and marker in (event.text or "")]

    async def user(self, deadline_seconds: float = 20.0) -> UserDTO:
        """Return the user's row, made with the first message."""

        async def ask() -> UserDTO | None:
            users = await self._stack.api.list_users(telegram_id=self.telegram_id)
            return users[0] if users else None

        return await eventually(ask, deadline_seconds, f"a row for user {self.telegram_id}")

    async def facts(self) -> Facts:
        """Return what may be asked about this user's work."""
        return Facts(self._stack, self._bus, (await self.user()).id)
