"""Who may talk to the bot: a list of numeric Telegram ids."""

from __future__ import annotations

from dataclasses import dataclass

from telegram_bot.errors import BotError


def _ids(text: str, name: str) -> frozenset[int]:
    try:
        return frozenset(int(word) for word in text.replace(",", " ").split())
    except ValueError as error:
        raise BotError(f"{name} must hold numeric ids separated by commas: {error}") from None


@dataclass(frozen=True, slots=True)
class AccessList:
    """An empty list admits nobody."""

    allowed: frozenset[int]
    admins: frozenset[int]

    @classmethod
    def parse(cls, allowed: str, admins: str) -> AccessList:
        admin_ids = _ids(admins, "TELEGRAM_ADMINS")
        return cls(_ids(allowed, "TELEGRAM_ALLOWED_USERS") | admin_ids, admin_ids)

    def admits(self, telegram_id: int) -> bool:
        return telegram_id in self.allowed

    def is_admin(self, telegram_id: int) -> bool:
        return telegram_id in self.admins
