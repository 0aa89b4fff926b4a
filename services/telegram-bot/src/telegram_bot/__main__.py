"""Entry point: `python -m telegram_bot`."""

from __future__ import annotations

import sys

from shared.runtime.service import run_service
from telegram_bot.app import composer
from telegram_bot.settings import BotSettings


def main() -> int:
    settings = BotSettings()
    return run_service("telegram-bot", settings, composer(settings))


if __name__ == "__main__":
    sys.exit(main())
