"""Logging loads nothing that no process here uses, and takes nothing away from those who do."""

from __future__ import annotations

import subprocess
import sys

UNWANTED = ("rich", "colorama", "greenlet")


def printed(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_the_bus_and_its_logger_load_no_console_and_no_green_threads() -> None:
    program = f"import sys, shared.redis.client; print([name for name in {UNWANTED} if name in sys.modules])"
    assert printed(program) == "[]"


def test_what_was_left_out_can_still_be_imported() -> None:
    program = "import shared.logging, rich, greenlet; print(rich.__name__, greenlet.__name__)"
    assert printed(program) == "rich greenlet"


def test_a_crash_is_written_to_the_console_with_its_traceback() -> None:
    program = """
import sys
from shared.logging import get_logger, setup_logging
sys.stderr = sys.stdout
setup_logging("demo", "INFO", "console")
try:
    {}["missing"]
except KeyError:
    get_logger("test").exception("crashed")
"""
    assert "KeyError: 'missing'" in printed(program)
