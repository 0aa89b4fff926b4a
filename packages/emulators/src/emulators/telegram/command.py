"""Command line of the Telegram emulator."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from emulators.server import serve
from emulators.telegram.app import TelegramOptions, create_app
from emulators.telegram.errors import TelegramEmulatorError


def run(argv: Sequence[str]) -> int:
    """Serve until a signal; returns the exit code (2 for arguments that cannot be used)."""
    given = _parser().parse_args(list(argv))
    options = TelegramOptions(
        state=given.state, token=given.token, username=given.username, flood_per_second=given.flood_per_second
    )
    try:
        app = create_app(options)
    except TelegramEmulatorError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return serve(app, given.host, given.port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m emulators telegram", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one, named in the first line of output")
    parser.add_argument("--state", type=Path, required=True, help="folder of the database and the files")
    parser.add_argument("--token", required=True, help="the bot's token, 123456:letters")
    parser.add_argument("--username", default="codegen_test_bot", help="the bot's user name")
    parser.add_argument("--flood-per-second", type=int, default=0, help="sends and edits a second before 429; 0: all")
    return parser
