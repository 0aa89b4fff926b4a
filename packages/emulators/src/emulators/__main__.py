"""Dispatches `python -m emulators NAME` to one emulator's command line; imports only that one."""

import gc
import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "anthropic": "emulators.anthropic.command",
    "github": "emulators.github.command",
    "telegram": "emulators.telegram.command",
    "telegram-chat": "emulators.telegram.terminal_command",
}
USAGE = f"usage: python -m emulators {{{','.join(COMMANDS)}}} [options]\n"


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit code; 2 when there is no such command."""
    if not argv or argv[0] not in COMMANDS:
        wants_help = bool(argv) and argv[0] in {"-h", "--help"}
        (sys.stdout if wants_help else sys.stderr).write(USAGE)
        return 0 if wants_help else 2
    gc.disable()  # finds nothing while modules are loaded, and takes a tenth of the start
    command = importlib.import_module(COMMANDS[argv[0]])
    gc.freeze()
    gc.enable()
    code: int = command.run(list(argv[1:]))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
