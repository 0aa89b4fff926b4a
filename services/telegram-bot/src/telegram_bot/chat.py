"""The port to a chat, and its adapter on python-telegram-bot: send, edit, poll. Knows nothing of users."""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from telegram import Bot
from telegram.error import BadRequest, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter
from telegram.request import HTTPXRequest

from telegram_bot.errors import SendFailed, TelegramAway

READ_MARGIN_SECONDS = 10
REAL_API = "https://api.telegram.org"


class EditOutcome(StrEnum):
    EDITED = "edited"
    UNCHANGED = "unchanged"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class Incoming:
    """One update, reduced to what the bot uses. `text` is None for what is not text."""

    update_id: int
    chat_id: int
    telegram_id: int
    name: str
    message_id: int | None
    text: str | None


class Chat(Protocol):
    """What the bot needs of Telegram."""

    async def poll(self, offset: int | None, wait_seconds: int) -> list[Incoming]: ...
    async def send(self, chat_id: int, text: str) -> int:
        """Send one message of at most 4096 units and return its id; TelegramAway when it may have arrived or not."""
        ...

    async def edit(self, chat_id: int, message_id: int, text: str) -> EditOutcome: ...


class TelegramChat:
    """The chat over the Bot API."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    @classmethod
    def connect(cls, token: str, api_url: str) -> TelegramChat:
        """Return a chat for one bot; `api_url` is empty for the real Telegram."""
        root = api_url or REAL_API
        return cls(
            Bot(
                token,
                base_url=f"{root}/bot",
                base_file_url=f"{root}/file/bot",
                request=HTTPXRequest(),
                get_updates_request=HTTPXRequest(),
            )
        )

    async def open(self) -> None:
        """Check the token; SendFailed when Telegram does not know it."""
        try:
            await self._bot.initialize()
        except (Forbidden, InvalidToken) as error:
            await self._bot.shutdown()
            raise SendFailed(f"Telegram refused the bot's token: {error.message}") from error
        except NetworkError as error:
            await self._bot.shutdown()
            raise TelegramAway(f"Telegram does not answer: {error.message}") from error

    async def close(self) -> None:
        await self._bot.shutdown()

    async def poll(self, offset: int | None, wait_seconds: int) -> list[Incoming]:
        try:
            updates = await self._bot.get_updates(
                offset=offset,
                timeout=wait_seconds,
                read_timeout=wait_seconds + READ_MARGIN_SECONDS,
                allowed_updates=["message", "callback_query"],
            )
        except RetryAfter as error:
            raise TelegramAway("Telegram asks to wait", retry_after_seconds=_seconds(error)) from error
        except Conflict as error:
            raise TelegramAway(f"another poller uses this token: {error.message}") from error
        except NetworkError as error:
            raise TelegramAway(f"Telegram does not answer: {error.message}") from error
        found = []
        for update in updates:
            message, user = update.effective_message, update.effective_user
            if update.effective_chat is not None and user is not None:
                text = update.callback_query.data if update.callback_query else getattr(message, "text", None)
                message_id = message.message_id if message is not None else None
                found.append(
                    Incoming(update.update_id, update.effective_chat.id, user.id, user.full_name, message_id, text)
                )
        return found

    async def send(self, chat_id: int, text: str) -> int:
        while True:
            try:
                return (await self._bot.send_message(chat_id, text)).message_id
            except RetryAfter as error:
                await asyncio.sleep(_seconds(error))
            except (BadRequest, Forbidden) as error:
                raise SendFailed(f"Telegram refused a message: {error.message}") from error
            except NetworkError as error:
                raise TelegramAway(f"Telegram did not confirm a message: {error.message}") from error

    async def edit(self, chat_id: int, message_id: int, text: str) -> EditOutcome:
        while True:
            try:
                await self._bot.edit_message_text(text, chat_id=chat_id, message_id=message_id)
            except RetryAfter as error:
                await asyncio.sleep(_seconds(error))
            except BadRequest as error:
                if "not modified" in error.message.lower():
                    return EditOutcome.UNCHANGED
                return EditOutcome.IMPOSSIBLE
            except NetworkError as error:
                raise TelegramAway(f"Telegram did not confirm an edit: {error.message}") from error
            else:
                return EditOutcome.EDITED


def _seconds(error: RetryAfter) -> float:
    with warnings.catch_warnings():  # the library announces that this becomes a timedelta; both are understood
        warnings.simplefilter("ignore")
        after = error.retry_after
    return after if isinstance(after, int | float) else after.total_seconds()
