"""Picks the runtime the settings ask for, out of those this build has."""

from __future__ import annotations

import os
import sys

from shared.logging import get_logger
from worker_manager.errors import RuntimeUnavailable
from worker_manager.runtime.port import WorkerRuntime
from worker_manager.runtime.process import ProcessRuntime, ProcessRuntimeOptions
from worker_manager.settings import Settings

RUNTIMES = ("process",)

log = get_logger(__name__)


def process_runtime(settings: Settings) -> ProcessRuntime:
    """Return the process runtime; workers get users of their own when this process may give them."""
    environment = {**settings.worker_environment, "PATH": settings.worker_path, "LANG": "C.UTF-8"}
    return ProcessRuntime(
        ProcessRuntimeOptions(
            root=settings.workers_dir.resolve(),
            command=settings.command,
            python=sys.executable,
            environment=environment,
            uid_start=settings.worker_uid_start,
            is_privileged=os.geteuid() == 0,
            grace_seconds=settings.worker_stop_grace_seconds,
        )
    )


def build_runtime(settings: Settings) -> WorkerRuntime:
    """Return the configured runtime; RuntimeUnavailable when this build does not have it."""
    if settings.worker_runtime not in ("auto", *RUNTIMES):
        raise RuntimeUnavailable(
            f"WORKER_RUNTIME={settings.worker_runtime} is not in this build; it has: {', '.join(RUNTIMES)}"
        )
    if os.geteuid() != 0:
        log.warning("workers share this process's user: they are kept apart by nothing but their directories")
    return process_runtime(settings)
