"""`python -m worker_manager` runs the service; `python -m worker_manager stop-workers` ends every process worker."""

from __future__ import annotations

from shared.runtime import quick_start as quick_start  # first

# isort: split

import asyncio
import sys

from shared.runtime.service import run_service
from shared.runtime.settings import settings_or_exit
from worker_manager.app import composer
from worker_manager.runtime.choice import process_runtime
from worker_manager.runtime.process import ProcessRuntime
from worker_manager.settings import SERVICE, Settings


async def stop_workers(settings: Settings) -> int:
    """End and delete every process worker of a directory no manager owns; return how many there were."""
    runtime = process_runtime(settings)
    await runtime.open()
    try:
        instances = await runtime.list()
        async with asyncio.TaskGroup() as group:
            for instance in instances:
                group.create_task(_end(runtime, instance.worker_id, settings.worker_stop_grace_seconds))
    finally:
        await runtime.close()
    return len(instances)


async def _end(runtime: ProcessRuntime, worker_id: str, grace_seconds: float) -> None:
    await runtime.stop(worker_id, grace_seconds=grace_seconds)
    await runtime.remove(worker_id)


def main() -> int:
    settings = settings_or_exit(SERVICE, Settings)
    if sys.argv[1:] == ["stop-workers"]:
        count = asyncio.run(stop_workers(settings))
        sys.stderr.write(f"worker-manager: {count} workers ended\n")
        return 0
    return run_service(SERVICE, settings, composer(settings))


if __name__ == "__main__":
    sys.exit(main())
