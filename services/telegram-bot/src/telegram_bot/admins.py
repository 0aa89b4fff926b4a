"""Tells administrators what only they can mend; the same key is told once."""

from __future__ import annotations

from shared.clients.api_port import Api
from shared.contracts.queues.events import AdminNotification
from shared.redis.subscription import Delivery
from telegram_bot.sender import Sender


class Admins:
    """Hears admin:notifications; administrators who never wrote to the bot cannot be reached."""

    def __init__(self, api: Api, sender: Sender) -> None:
        self._api = api
        self._sender = sender

    async def on_notification(self, note: AdminNotification, _: Delivery) -> None:
        text = f"{note.level} from {note.service}: {note.title}\n{note.text}"
        for user in await self._api.list_users():
            if user.is_admin:
                await self._sender.say(user.id, user.telegram_id, f"admin:{user.id}:{note.key}", text)
