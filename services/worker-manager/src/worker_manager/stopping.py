"""Ends the workers that outlive their manager: those that are processes."""

from __future__ import annotations

import asyncio

from worker_manager.runtime.choice import process_runtime
from worker_manager.runtime.process import ProcessRuntime
from worker_manager.settings import Settings


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
