"""Command line of the Messages API emulator."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from emulators.anthropic.app import AnthropicOptions, create_app
from emulators.anthropic.errors import AnthropicEmulatorError
from emulators.server import serve


def run(argv: Sequence[str]) -> int:
    """Serve until a signal; returns the exit code (2 for arguments or scripts that cannot be used)."""
    parser = _parser()
    given = parser.parse_args(list(argv))
    if given.mode == "script" and (given.upstream or given.cassettes):
        parser.error("--upstream and --cassettes belong to --mode record or replay")
    if given.mode != "script" and given.cassettes is None:
        parser.error(f"--mode {given.mode} needs --cassettes DIR")
    if (given.mode == "record") != (given.upstream is not None):
        parser.error("--mode record and --upstream URL go together")
    options = AnthropicOptions(
        state=given.state,
        scripts=tuple(given.script),
        api_key=given.api_key,
        cassettes=given.cassettes,
        upstream=given.upstream,
    )
    try:
        app = create_app(options)
    except AnthropicEmulatorError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return serve(app, given.host, given.port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m emulators anthropic", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one, named in the first line of output")
    parser.add_argument("--state", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--script", type=Path, action="append", default=[], help="YAML script, may be repeated")
    parser.add_argument("--api-key", help="the only key that is accepted (default: any)")
    parser.add_argument("--mode", choices=["script", "record", "replay"], default="script")
    parser.add_argument("--upstream", help="base URL of the real API, for record")
    parser.add_argument("--cassettes", type=Path, help="folder of cassettes, for record and replay")
    return parser
