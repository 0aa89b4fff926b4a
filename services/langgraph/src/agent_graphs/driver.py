"""Drives runs: claim, load, resume or continue to the next interrupt, hand back. Keeps nothing between two drives.

Graphs run with durability "exit": every effect is repeatable by its key, so a checkpoint is needed only where a run
pauses or fails. After a kill the run goes on from its last pause and repeats effects under the same keys.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from weakref import WeakValueDictionary

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Interrupt, StateSnapshot

from agent_graphs.checkpoints import FENCE, Checkpoints, named_failures
from agent_graphs.deploy.graph import deploy_graph
from agent_graphs.drive import Drive, Services
from agent_graphs.engineering.graph import engineering_graph
from agent_graphs.engineering.preparation import delete_worker
from agent_graphs.errors import AnswerEarly, LeaseLost, RunEnded
from agent_graphs.journal import Journal
from agent_graphs.leases import Leases, NotClaimed
from agent_graphs.waits import Answer, Poke, Signal, Wait, resumption
from shared.clients.errors import Conflict
from shared.contracts.base import correlation
from shared.contracts.dto.work import RunDTO, RunRelease
from shared.contracts.queues.work import DeployMessage, EngineeringMessage
from shared.contracts.run_machine import RunEventName
from shared.contracts.topology import DEPLOY_QUEUE, ENGINEERING_QUEUE
from shared.contracts.vocabulary import TaskType, WaitKind
from shared.logging import get_logger
from shared.runtime.errors import PlatformError

RETRY_SECONDS = 10.0
_STEP_LIMIT = 60
_BUG_LIMIT = 5
_PAUSES = "__interrupt__"
Graph = CompiledStateGraph[Any, Drive, Any, Any]

_log = get_logger(__name__)


class Outcome(StrEnum):
    """What became of a signal."""

    MOVED = "moved"
    ENDED = "ended"
    UNNEEDED = "unneeded"
    FINAL = "final"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Driven:
    """`worker_id` is the worker the run keeps after the drive."""

    outcome: Outcome
    worker_id: str | None = None


class Driver:
    """Drives any run of either kind; one drive per run at a time, in this process and, by lease, everywhere."""

    def __init__(self, services: Services, checkpoints: Checkpoints, leases: Leases) -> None:
        self._services = services
        self._checkpoints = checkpoints
        self._leases = leases
        self._graphs: dict[TaskType, Graph] = {
            TaskType.ENGINEERING: engineering_graph(checkpoints.saver),
            TaskType.DEPLOY: deploy_graph(checkpoints.saver),
        }
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._bugs: Counter[str] = Counter()

    async def drive(self, run_id: str, signal: Signal) -> Driven:
        """Take the run as far as the signal carries it.

        Raises RunBusy, AnswerEarly, LeaseLost or what a node met; the run is then looked at again by its wake_at.
        """
        lock = self._locks.setdefault(run_id, asyncio.Lock())
        async with lock:
            driven = await self._drive_once(run_id, signal)
            while driven is None:
                driven = await self._drive_once(run_id, Poke())
            return driven

    async def _drive_once(self, run_id: str, signal: Signal) -> Driven | None:
        """Return None when a cancellation came in too late for this drive: the run wants another one."""
        claimed = await self._leases.claim(run_id, signal)
        if isinstance(claimed, NotClaimed):
            if claimed is NotClaimed.FINAL:
                await self._clear(await self._services.api.get_run(run_id))
                return Driven(Outcome.FINAL)
            return Driven(Outcome.BUSY)
        drive = Drive(self._services, claimed, Journal(self._services.api, run_id))
        with correlation(claimed.correlation_id or claimed.id):
            async with self._leases.kept(drive):
                return await self._guarded(drive, signal)

    async def _guarded(self, drive: Drive, signal: Signal) -> Driven | None:
        """Advance the run; whatever goes wrong, the run is handed back to be looked at again."""
        run_id = drive.run.id
        try:
            with named_failures():
                driven = await self._advance(drive, signal)
            self._bugs.pop(run_id, None)
            return driven
        except RunEnded:
            await self._clear(drive.run)
            return Driven(Outcome.FINAL)
        except LeaseLost:
            raise
        except PlatformError as error:
            await self._hand_back(drive, error, max(RETRY_SECONDS, error.retry_after_seconds or 0))
            raise
        except Exception as bug:
            self._bugs[run_id] += 1
            if self._bugs[run_id] >= _BUG_LIMIT:
                await self._give_up(drive, bug)
                return Driven(Outcome.ENDED)
            await self._hand_back(drive, bug, RETRY_SECONDS)
            raise

    async def _advance(self, drive: Drive, signal: Signal) -> Driven | None:
        run, graph = drive.run, self._graphs[drive.run.kind]
        await self._checkpoints.admit(run.id, run.fence)
        config: RunnableConfig = {
            "configurable": {"thread_id": run.id, FENCE: run.fence},
            "recursion_limit": _STEP_LIMIT,
        }
        snapshot = await graph.aget_state(config)
        state: dict[str, Any] = snapshot.values
        pauses = snapshot.interrupts
        moved = False
        if not pauses:
            state, pauses = await self._invoke(graph, drive, config, _beginning(snapshot, run))
            moved = True
        # A message asks to look only at a wait it found; an answer may be to the question just asked again.
        if pauses and (not moved or isinstance(signal, Answer)):
            resumed = resumption(Wait.load(pauses[0].value), signal, drive.run, drive.now())
            if resumed is not None:
                drive.is_resuming = True
                command: Command[Any] = Command(resume={pauses[0].id: resumed.dump()})
                state, pauses = await self._invoke(graph, drive, config, command)
                moved = True
        if not pauses:
            await self._conclude(drive)
            return Driven(Outcome.ENDED)
        return await self._pause(drive, signal, pauses[0], state, moved)

    async def _invoke(
        self, graph: Graph, drive: Drive, config: RunnableConfig, given: Any
    ) -> tuple[dict[str, Any], tuple[Interrupt, ...]]:
        result = await graph.ainvoke(given, config, context=drive, durability="exit")
        return result, tuple(result.get(_PAUSES, ()))

    async def _pause(
        self, drive: Drive, signal: Signal, pause: Interrupt, state: dict[str, Any], moved: bool
    ) -> Driven | None:
        wait = Wait.load(pause.value)
        try:
            after = await self._services.api.release_run(drive.run.id, wait.release(drive.run, self._leases.owner))
        except Conflict as refusal:
            raise LeaseLost(drive.run.id) from refusal
        if after.cancel_requested:
            return None
        if moved:
            return Driven(Outcome.MOVED, state.get("worker_id"))
        if isinstance(signal, Answer) and _is_ahead(signal.request_id, state):
            raise AnswerEarly(signal.request_id)
        return Driven(Outcome.UNNEEDED, state.get("worker_id"))

    async def _conclude(self, drive: Drive) -> None:
        """Forget the checkpoints of a run that ended and wake the next one of its project."""
        await self._checkpoints.forget(drive.run.id)
        run = drive.run
        waiting = await self._services.api.list_runs(project_id=run.project_id, is_final=False)
        own_kind = [other for other in waiting if other.kind is run.kind and other.id != run.id]
        if own_kind:
            await self._wake(min(own_kind, key=lambda other: other.created_at))

    async def _wake(self, run: RunDTO) -> None:
        fields = {"task_id": run.task_id, "project_id": run.project_id, "user_id": run.owner_id}
        if run.kind is TaskType.ENGINEERING:
            await self._services.bus.publish(ENGINEERING_QUEUE, EngineeringMessage(**fields))
        else:
            await self._services.bus.publish(DEPLOY_QUEUE, DeployMessage(**fields))

    async def _clear(self, run: RunDTO) -> None:
        """Remove what a run that ended elsewhere, or whose last drive was killed, left behind."""
        config: RunnableConfig = {"configurable": {"thread_id": run.id}}
        with named_failures():
            snapshot = await self._graphs[run.kind].aget_state(config)
            if snapshot.created_at is None:
                return
            if worker_id := snapshot.values.get("worker_id"):
                await delete_worker(self._services.bus, run.id, worker_id)
            await self._checkpoints.forget(run.id)
        _log.info("run_cleared", run_id=run.id, state=run.state)

    async def _give_up(self, drive: Drive, bug: Exception) -> None:
        """End a run that meets the same wall again and again: its owner is told, its worker freed."""
        _log.error("run_given_up", run_id=drive.run.id, exc_info=bug)
        self._bugs.pop(drive.run.id, None)
        message = f"the platform itself failed: {type(bug).__name__}"
        await drive.transition(RunEventName.RUN_FAILED, "internal_error", reason="internal_error", message=message)
        await self._clear(drive.run)

    async def _hand_back(self, drive: Drive, error: Exception, pause_seconds: float) -> None:
        """Let go of a run whose drive failed, so that it is tried again soon; failing at that, its lease runs out."""
        _log.warning("drive_failed", run_id=drive.run.id, error=f"{type(error).__name__}: {error}")
        body = RunRelease(
            owner=self._leases.owner,
            fence=drive.run.fence,
            wait_kind=WaitKind.TIMER,
            wait_key=f"{drive.run.id}:retry",
            wake_at=drive.now() + timedelta(seconds=pause_seconds),
        )
        try:
            await drive.journal.flush()
            await self._services.api.release_run(drive.run.id, body)
        except PlatformError as second:
            _log.warning("run_not_released", run_id=drive.run.id, code=second.code, error=str(second))


def _beginning(snapshot: StateSnapshot, run: RunDTO) -> dict[str, Any] | None:
    """Return the first input of a run; None continues where the last drive stopped."""
    if snapshot.created_at is not None:
        return None
    return {"run_id": run.id, "task_id": run.task_id, "project_id": run.project_id, "owner_id": run.owner_id}


def _is_ahead(request: str, state: dict[str, Any]) -> bool:
    """Tell whether a request has a higher number than its node's last one in the checkpoints."""
    _, _, rest = request.partition(":")
    node, _, number = rest.partition(":")
    return number.isdigit() and int(number) > state.get("numbers", {}).get(node, 0)
