"""Looking at processes that tests have started or expect to be gone."""

from __future__ import annotations

import psutil


def is_running(pid: int) -> bool:
    """Tell whether a process runs: one that is gone does not, nor one that ended and waits to be collected."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
