"""Command line of the terminal chat."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

import httpx

from emulators.telegram.errors import TelegramEmulatorError
from emulators.telegram.terminal import chat


def run(argv: Sequence[str]) -> int:
    """Chat until the input ends; returns the exit code (1 when the emulator does not answer)."""
    given = _parser().parse_args(list(argv))
    try:
        asyncio.run(chat(given.url, given.user, given.name))
    except (TelegramEmulatorError, httpx.HTTPError) as error:
        sys.stderr.write(f"the emulator at {given.url} cannot be used: {error!r}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m emulators telegram-chat", description=__doc__)
    parser.add_argument("--url", required=True, help="base URL of the Telegram emulator")
    parser.add_argument("--user", type=int, required=True, help="your numeric user id")
    parser.add_argument("--name", default="You", help="your first name")
    return parser
