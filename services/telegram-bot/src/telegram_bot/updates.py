"""Takes updates from Telegram: stored before they are handled, and only then confirmed."""

from __future__ import annotations

import asyncio

from shared.clients.api_port import Api
from shared.clients.errors import ApiError, Conflict
from shared.contracts.dto.accounts import (
    ChatMessageCreate,
    ChatMessageDTO,
    ChatMessageUpdate,
    LeaseDTO,
    UserDTO,
    UserUpsert,
)
from shared.contracts.vocabulary import ChatDirection, ChatMessageState
from shared.infra import Clock
from shared.logging import get_logger
from telegram_bot.access import AccessList
from telegram_bot.chat import Chat, Incoming
from telegram_bot.commands import Commands
from telegram_bot.errors import SendFailed, TelegramAway
from telegram_bot.lanes import Lanes
from telegram_bot.sender import Sender
from telegram_bot.sessions import Sessions
from telegram_bot.text import LIMIT, utf16_length

LEASE = "telegram-poller"
LEASE_SECONDS = 15.0
PAUSE_SECONDS = 1.0
RELEASE_SECONDS = 2.0


class Updates:
    """The one poller: holds a lease, so that any number of replicas may run."""

    def __init__(
        self,
        chat: Chat,
        api: Api,
        access: AccessList,
        commands: Commands,
        lanes: Lanes,
        sender: Sender,
        sessions: Sessions,
    ) -> None:
        self._chat = chat
        self._api = api
        self._access = access
        self._commands = commands
        self._lanes = lanes
        self._sender = sender
        self._sessions = sessions
        self._users: dict[int, UserDTO] = {}
        self._log = get_logger(__name__)

    async def run(self, stop: asyncio.Event, owner: str, clock: Clock, poll_seconds: int) -> None:
        """Poll until told to stop, whenever the lease can be had."""
        offset: int | None = None
        lease: LeaseDTO | None = None
        while not stop.is_set():
            try:
                lease = await self._hold(lease, owner)
                if lease is None:
                    await _pause(stop, clock)
                    continue
                for update in await _unless_stopped(self._chat.poll(offset, poll_seconds), stop):
                    await self.take(update)
                    offset = update.update_id + 1
            except (TelegramAway, ApiError) as error:
                self._log.warning("poll_failed", error=str(error))
                await _pause(stop, clock)
        if lease is not None:
            await self._release(owner, lease)

    async def _release(self, owner: str, lease: LeaseDTO) -> None:
        """Hand the lease back so that another replica polls at once; without the api it expires by itself."""
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._api.release_lease(LEASE, owner, lease.fence)
        except (TimeoutError, ApiError) as error:
            self._log.info("lease_left_to_expire", reason=str(error) or "the api does not answer")

    async def _hold(self, lease: LeaseDTO | None, owner: str) -> LeaseDTO | None:
        try:
            if lease is not None:
                return await self._api.renew_lease(LEASE, owner, lease.fence, LEASE_SECONDS)
            return await self._api.claim_lease(LEASE, owner, LEASE_SECONDS)
        except Conflict:
            return None

    async def take(self, update: Incoming) -> None:
        """Store one update and do what can be done at once."""
        if not self._access.admits(update.telegram_id):
            await self._refuse(update)
            return
        user = await self._user(update)
        row = await self._store(user, update)
        if row.state is not ChatMessageState.RECEIVED:
            return
        answer = await self._immediate_answer(user, row, update)
        if answer is None:
            await self._lanes.advance(user.id)
            return
        await self._sender.say(user.id, update.chat_id, f"reply:{update.update_id}", answer)
        await self._api.update_chat_message(row.id, ChatMessageUpdate(state=ChatMessageState.ANSWERED))

    async def _immediate_answer(self, user: UserDTO, row: ChatMessageDTO, update: Incoming) -> str | None:
        text = (update.text or "").strip()
        if not text:
            return "I can only read text. Please write what you want to have built."
        if utf16_length(text) > LIMIT:
            return f"This message has {utf16_length(text)} characters; please use at most {LIMIT}, or send it in parts."
        if text.startswith("/"):
            return await self._commands.answer(user, text)
        return None

    async def _refuse(self, update: Incoming) -> None:
        self._log.info("stranger_refused", telegram_id=update.telegram_id)
        if await self._sessions.is_first_refusal(update.telegram_id):
            text = (
                f"This bot is private. Ask its operator to add your id {update.telegram_id} to TELEGRAM_ALLOWED_USERS."
            )
            try:
                await self._chat.send(update.chat_id, text)
            except SendFailed as error:
                self._log.warning("refusal_not_sent", error=str(error))

    async def _user(self, update: Incoming) -> UserDTO:
        user = self._users.get(update.telegram_id)
        if user is None:
            is_admin = self._access.is_admin(update.telegram_id)
            user = await self._api.upsert_user(
                UserUpsert(telegram_id=update.telegram_id, name=update.name, is_admin=is_admin)
            )
            self._users[update.telegram_id] = user
        return user

    async def _store(self, user: UserDTO, update: Incoming) -> ChatMessageDTO:
        return await self._api.create_chat_message(
            ChatMessageCreate(
                user_id=user.id,
                chat_id=update.chat_id,
                direction=ChatDirection.IN,
                dedupe_key=f"update:{update.update_id}",
                text=update.text or "",
                update_id=update.update_id,
                telegram_message_id=update.message_id,
                state=ChatMessageState.RECEIVED,
            )
        )


async def _pause(stop: asyncio.Event, clock: Clock) -> None:
    sleeper, stopper = asyncio.ensure_future(clock.sleep(PAUSE_SECONDS)), asyncio.ensure_future(stop.wait())
    await asyncio.wait({sleeper, stopper}, return_when=asyncio.FIRST_COMPLETED)
    sleeper.cancel()
    stopper.cancel()


async def _unless_stopped(poll: object, stop: asyncio.Event) -> list[Incoming]:
    """Return what a poll brings, or nothing when the bot is told to stop first."""
    assert asyncio.iscoroutine(poll)
    polling: asyncio.Task[list[Incoming]] = asyncio.ensure_future(poll)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({polling, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return polling.result() if polling.done() else []
    finally:
        polling.cancel()
        stopping.cancel()
