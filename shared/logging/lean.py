"""Loads structlog without what it takes along when it finds it, for consoles and green threads: 6 MB a process."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

_UNWANTED = ("rich", "colorama", "greenlet")


def _load() -> None:
    modules: dict[str, Any] = sys.modules
    hidden = [name for name in _UNWANTED if name not in modules]
    modules.update(dict.fromkeys(hidden))  # None there looks as if it were not installed
    try:
        import_module("structlog")
    finally:
        for name in hidden:
            del modules[name]


_load()
