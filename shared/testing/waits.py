"""Waiting for runs, their stream and their outbox: event-driven, with a deadline and a word on what was last seen."""

from __future__ import annotations

import asyncio
import time

from shared.clients.api_port import Api
from shared.contracts.dto.work import RunDTO
from shared.contracts.queues.events import RunEvent
from shared.contracts.run_machine import TERMINAL_STATES
from shared.contracts.topology import RUN_EVENTS
from shared.contracts.vocabulary import RunEventType
from shared.redis.bus import Bus

ROUND_SECONDS = 5.0


class DeadlinePassed(AssertionError):
    """What was waited for did not happen in time."""


async def wait_for_run_completion(api: Api, run_id: str, deadline_seconds: float = 30.0) -> RunDTO:
    """Return the run once it is final."""
    deadline = time.monotonic() + deadline_seconds
    while True:
        run = await api.wait_run(run_id, max(0.0, min(ROUND_SECONDS, deadline - time.monotonic())))
        if run.state in TERMINAL_STATES:
            return run
        if time.monotonic() >= deadline:
            raise DeadlinePassed(
                f"run {run_id} is not final after {deadline_seconds} s: state {run.state}, last seq {run.last_seq},"
                f" waits for {run.wait_kind or run.waiting_reason or 'nothing'}, lease of {run.lease_owner or 'nobody'}"
            )


async def await_stream_completion(bus: Bus, run_id: str, deadline_seconds: float = 30.0) -> list[RunEvent]:
    """Return the run's events as published, without repeats, once RunFinished is among them."""
    seen = _Published(bus, run_id)
    deadline = time.monotonic() + deadline_seconds
    while not seen.is_finished:
        await seen.read(deadline, "RunFinished")
    return seen.in_order()


async def await_outbox_flush(api: Api, bus: Bus, run_id: str, deadline_seconds: float = 30.0) -> list[RunEvent]:
    """Return the run's events as published once everything the api has of the run now was published."""
    wanted = (await api.get_run(run_id)).last_seq
    seen = _Published(bus, run_id)
    deadline = time.monotonic() + deadline_seconds
    while seen.last_seq < wanted:
        await seen.read(deadline, f"seq {wanted}")
    return seen.in_order()


class _Published:
    """What `run:events` has of one run."""

    def __init__(self, bus: Bus, run_id: str) -> None:
        self._bus = bus
        self._run_id = run_id
        self._after = "0"
        self._events: dict[int, RunEvent] = {}

    @property
    def last_seq(self) -> int:
        return max(self._events, default=0)

    @property
    def is_finished(self) -> bool:
        return any(event.type is RunEventType.RUN_FINISHED for event in self._events.values())

    def in_order(self) -> list[RunEvent]:
        return [self._events[seq] for seq in sorted(self._events)]

    async def read(self, deadline: float, wanted: str) -> None:
        """Read what is new, waiting for it until the deadline."""
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            last = self._events.get(self.last_seq)
            told = f"{last.type} with seq {last.seq}" if last is not None else "no event of it"
            raise DeadlinePassed(f"{wanted} of run {self._run_id} was not published in time; last seen: {told}")
        entries = await self._bus.read(RUN_EVENTS, after=self._after, block_ms=int(min(1.0, remaining) * 1000) or 1)
        for entry_id, event in entries:
            self._after = entry_id
            if event.run_id == self._run_id:
                self._events.setdefault(event.seq, event)
        await asyncio.sleep(0)
