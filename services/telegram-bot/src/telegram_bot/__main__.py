"""Entry point: `python -m telegram_bot`."""

from __future__ import annotations

from shared.runtime import quick_start as quick_start  # first

# isort: split

import sys

from shared.runtime.service import run_service
from shared.runtime.settings import settings_or_exit
from telegram_bot.app import composer
from telegram_bot.settings import BotSettings


def main() -> int:
    settings = settings_or_exit("telegram-bot", BotSettings)
    return run_service("telegram-bot", settings, composer(settings))


if __name__ == "__main__":
    sys.exit(main())
