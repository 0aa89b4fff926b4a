"""Errors of the bot.

BotError
├── SendFailed        Telegram refused a message for good
└── TelegramAway      Telegram did not answer; asked again later
"""

from __future__ import annotations

from shared.runtime.errors import Category, PlatformError


class BotError(PlatformError):
    """The bot could not do its part."""

    code = "bot_error"


class SendFailed(BotError):
    """Telegram refused a message."""

    code = "send_failed"
    category = Category.PERMANENT


class TelegramAway(BotError):
    """Telegram did not answer."""

    code = "telegram_away"
    category = Category.UPSTREAM
