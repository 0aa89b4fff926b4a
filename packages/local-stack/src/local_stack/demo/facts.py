"""Reads from the api, the bus and the emulators what the demo claims: runs, tokens, timeline, stream use."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import httpx

from local_stack.demo.report import StreamUse, TimelineEntry
from local_stack.stack import Stack
from shared.contracts.dto.work import ProjectDTO, RunDTO, RunEventDTO
from shared.contracts.run_machine import RunState
from shared.contracts.stages import Usage
from shared.contracts.topology import DEVELOPER_INPUT, PO_INPUT, PO_OUTPUT, TASK_PROGRESS, TOPOLOGY, Stream
from shared.contracts.vocabulary import RunEventType, TaskType, WorkerType
from shared.redis.bus import Bus

SHORT_ID = 8
PATH_STREAMS_UNUSED = frozenset({"worker:developer:input", "workflow:status", "admin:notifications"})


class Facts:
    """Questions to a running stack about one user."""

    def __init__(self, stack: Stack, bus: Bus, user_id: str) -> None:
        self._stack = stack
        self._api = stack.api
        self._bus = bus
        self.user_id = user_id

    async def projects(self) -> list[ProjectDTO]:
        return await self._api.list_projects(owner_id=self.user_id)

    async def runs(self, kind: TaskType | None = None) -> list[RunDTO]:
        """Return the user's runs, oldest first."""
        runs = await self._api.list_runs(owner_id=self.user_id)
        return sorted((run for run in runs if kind in (None, run.kind)), key=lambda run: run.created_at)

    async def failed_run(self) -> RunDTO | None:
        """Return a run that ended badly, if any did."""
        bad = (RunState.FAILED, RunState.CANCELLED, RunState.ROLLED_BACK)
        return next((run for run in await self.runs() if run.state in bad), None)

    async def usage(self) -> Usage:
        """Return what every agent turn of the user used, summed."""
        total = Usage()
        for execution in await self._api.list_executions(owner_id=self.user_id):
            total = total.plus(execution.usage)
        return total

    async def emulator_usage(self) -> dict[str, int]:
        """Return what the emulated model provider counted."""
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{self._stack.plan.anthropic_url}/_emulator/usage")
            answer.raise_for_status()
            return {str(name): int(value) for name, value in answer.json().items()}

    async def timeline(self, since: datetime) -> list[TimelineEntry]:
        """Return the user's run events as they happened."""
        entries = []
        for run in await self.runs():
            for event in await self._api.list_events(run.id):
                entries.append(
                    TimelineEntry(
                        seconds=round((event.ts - since).total_seconds(), 3),
                        run=f"{run.kind} {run.id[:SHORT_ID]}",
                        seq=event.seq,
                        type=event.type,
                        text=describe(event),
                    )
                )
        return sorted(entries, key=lambda entry: (entry.seconds, entry.seq))

    async def _streams(self) -> list[Stream[Any]]:
        """Return every concrete stream of the user's work."""
        workers = await self._api.list_workers()
        tasks = await self._api.list_tasks(owner_id=self.user_id)
        po = [worker.id for worker in workers if worker.worker_type is WorkerType.PO]
        developers = [worker.id for worker in workers if worker.worker_type is WorkerType.DEVELOPER]
        families: dict[str, Iterable[str]] = {
            PO_INPUT.name: po,
            PO_OUTPUT.name: po,
            DEVELOPER_INPUT.name: developers,
            TASK_PROGRESS.name: [task.id for task in tasks],
        }
        concrete = []
        for stream in TOPOLOGY:
            ids = families.get(stream.name)
            concrete += [stream] if ids is None else [stream.at(value) for value in ids]
        return concrete

    async def stream_lengths(self) -> dict[str, int]:
        """Return the entries of every concrete stream."""
        return {stream.name: (await self._bus.stats(stream)).length for stream in await self._streams()}

    async def pending(self) -> dict[str, int]:
        """Return the streams in which a group has not acknowledged everything."""
        found = {}
        for stream in await self._streams():
            stats = await self._bus.stats(stream)
            pending = sum(group.pending for group in stats.groups.values())
            if pending:
                found[stream.name] = pending
        return found

    async def stream_use(self) -> dict[str, StreamUse]:
        """Return per service how many entries it wrote and read, from the services' own counters."""
        use = {}
        async with httpx.AsyncClient(timeout=5.0) as client:
            for name, child in self._stack.supervisor.children.items():
                if child.spec.is_service and child.spec.port is not None:
                    answer = await client.get(f"{self._stack.plan.url(child.spec.port)}/metrics")
                    use[name] = StreamUse(
                        entries_written=_sum(answer.text, "bus_published_total"),
                        entries_read=_sum(answer.text, "bus_handled_total"),
                    )
        return use


def _sum(metrics: str, name: str) -> int:
    lines = (line for line in metrics.splitlines() if line.startswith(name))
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)


def describe(event: RunEventDTO) -> str:
    """Return one line for a run event."""
    payload = event.payload
    match event.type:
        case RunEventType.STATE_CHANGED:
            return f"{payload.previous_state} → {payload.state}"
        case RunEventType.NODE_STARTED | RunEventType.NODE_FINISHED:
            return f"{event.type} {payload.node}"
        case RunEventType.TOKENS_USED:
            return f"{payload.stage}: {payload.input_tokens} in, {payload.output_tokens} out"
        case RunEventType.ARTIFACT:
            return f"{payload.message or 'artifact'} {payload.url or payload.sha or ''}".strip()
        case _:
            return f"{event.type} {payload.message or payload.reason or payload.state or ''}".strip()
