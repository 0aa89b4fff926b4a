"""Says each thing once: intent first, then the message, then its id; after a crash it looks before it repeats.

Telegram has no idempotency key and no way to read a chat. What it does tell is whether an edit would change nothing:
a message whose fate is unknown is found by editing the ids nobody else owns with the very same text.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from shared.clients.api_port import Api
from shared.contracts.dto.accounts import ChatMessageCreate, ChatMessageDTO, ChatMessageUpdate
from shared.contracts.vocabulary import ChatDirection, ChatMessageState
from shared.logging import get_logger
from telegram_bot.chat import Chat, EditOutcome
from telegram_bot.errors import SendFailed
from telegram_bot.text import split

PROBE_DISTANCE = 12


class Sender:
    """Sends and edits on behalf of users; one message at a time per chat."""

    def __init__(self, chat: Chat, api: Api) -> None:
        self._chat = chat
        self._api = api
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._log = get_logger(__name__)

    async def say(self, user_id: str, chat_id: int, key: str, text: str) -> ChatMessageDTO | None:
        """Send a text once per key, cut into parts; return the first part's row, None when Telegram refused it."""
        rows = []
        for number, part in enumerate(split(text) or ["…"], 1):
            part_key = key if number == 1 else f"{key}#{number}"
            async with self._locks[chat_id]:
                rows.append(await self._say_part(user_id, chat_id, part_key, part))
        return rows[0]

    async def _say_part(self, user_id: str, chat_id: int, key: str, text: str) -> ChatMessageDTO | None:
        known = await self._api.list_chat_messages(dedupe_key=key)
        row = known[0] if known else await self._intend(user_id, chat_id, key, text)
        if row.state is not ChatMessageState.SENDING:
            return row if row.state is ChatMessageState.SENT else None
        message_id = await self._find_delivered(row) if known else None
        if message_id is None:
            try:
                message_id = await self._chat.send(chat_id, row.text)
            except SendFailed as error:
                self._log.warning("message_refused", key=key, error=str(error))
                await self._api.update_chat_message(row.id, ChatMessageUpdate(state=ChatMessageState.FAILED))
                return None
        update = ChatMessageUpdate(state=ChatMessageState.SENT, telegram_message_id=message_id)
        return await self._api.update_chat_message(row.id, update)

    async def _intend(self, user_id: str, chat_id: int, key: str, text: str) -> ChatMessageDTO:
        return await self._api.create_chat_message(
            ChatMessageCreate(
                user_id=user_id,
                chat_id=chat_id,
                direction=ChatDirection.OUT,
                dedupe_key=key,
                text=text,
                state=ChatMessageState.SENDING,
            )
        )

    async def _find_delivered(self, row: ChatMessageDTO) -> int | None:
        """Return the id of a message that was sent but not recorded, if Telegram has it."""
        rows = await self._api.list_chat_messages(user_id=row.user_id)
        known = {other.telegram_message_id for other in rows if other.telegram_message_id is not None}
        before = [other.telegram_message_id or 0 for other in rows if other.id < row.id]
        first = max(before, default=0) + 1
        last = max([*known, first]) + PROBE_DISTANCE
        for candidate in range(first, last + 1):
            if candidate in known:
                continue
            if await self._chat.edit(row.chat_id, candidate, row.text) is not EditOutcome.IMPOSSIBLE:
                self._log.info("message_found", key=row.dedupe_key, message_id=candidate)
                return candidate
        return None

    async def change(self, row: ChatMessageDTO, text: str) -> ChatMessageDTO:
        """Edit a sent message in place; nothing happens when it says so already."""
        wanted = split(text)[0]
        if row.telegram_message_id is None or row.text == wanted:
            return row
        async with self._locks[row.chat_id]:
            outcome = await self._chat.edit(row.chat_id, row.telegram_message_id, wanted)
        if outcome is EditOutcome.IMPOSSIBLE:
            self._log.warning("edit_refused", key=row.dedupe_key, message_id=row.telegram_message_id)
        return await self._api.update_chat_message(row.id, ChatMessageUpdate(text=wanted))
