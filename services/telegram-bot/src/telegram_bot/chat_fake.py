"""The chat in memory: passes the same contract tests as the real one; can lose confirmations."""

from __future__ import annotations

from collections import defaultdict

from telegram_bot.chat import EditOutcome, Incoming
from telegram_bot.errors import SendFailed, TelegramAway
from telegram_bot.text import LIMIT, utf16_length


class FakeChat:
    """`confirmations_to_lose`: so many sends arrive without the bot hearing of it."""

    def __init__(self) -> None:
        self.incoming: list[Incoming] = []
        self.messages: defaultdict[int, dict[int, str]] = defaultdict(dict)
        self.edits: list[tuple[int, int, str]] = []
        self.confirmations_to_lose = 0
        self._next_id = 1

    def receive(self, telegram_id: int, text: str | None) -> Incoming:
        """Let a user write; the message takes the next id of the chat."""
        update = Incoming(len(self.incoming) + 1, telegram_id, telegram_id, "Ada", self._take_id(), text)
        self.incoming.append(update)
        return update

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    async def poll(self, offset: int | None, wait_seconds: int) -> list[Incoming]:
        return [update for update in self.incoming if update.update_id >= (offset or 0)]

    async def send(self, chat_id: int, text: str) -> int:
        if not text.strip() or utf16_length(text) > LIMIT:
            raise SendFailed("the text is empty or too long")
        message_id = self._take_id()
        self.messages[chat_id][message_id] = text
        if self.confirmations_to_lose:
            self.confirmations_to_lose -= 1
            raise TelegramAway("the confirmation was lost")
        return message_id

    async def edit(self, chat_id: int, message_id: int, text: str) -> EditOutcome:
        known = self.messages[chat_id].get(message_id)
        if known is None:
            return EditOutcome.IMPOSSIBLE
        if known == text:
            return EditOutcome.UNCHANGED
        self.messages[chat_id][message_id] = text
        self.edits.append((chat_id, message_id, text))
        return EditOutcome.EDITED

    def texts(self, chat_id: int) -> list[str]:
        """Return what the chat shows, in order."""
        return [text for _, text in sorted(self.messages[chat_id].items())]
