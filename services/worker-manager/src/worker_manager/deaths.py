"""Turns the end of a worker into its final status and, for work it leaves unanswered, one failed output each."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.contracts.base import correlation
from shared.contracts.queues.workers import (
    DeveloperWorkerInput,
    DeveloperWorkerOutput,
    FailureCause,
    POWorkerInput,
    POWorkerOutput,
)
from shared.contracts.topology import DEVELOPER_INPUT, DEVELOPER_OUTPUT, PO_INPUT, PO_OUTPUT, Stream
from shared.contracts.vocabulary import ResultStatus, Stage, WorkerStatus, WorkerType
from shared.infra import Clock
from shared.logging import get_logger
from shared.redis.bus import Bus
from shared.redis.subscription import Delivery, StreamSub
from worker_manager.mirror import ApiMirror
from worker_manager.records import RequestInProgress, WorkerRecord, WorkerState
from worker_manager.status_store import StatusStore

WRAPPER_GROUP = "worker-wrapper"
PAGE = 500
SIGNAL_BASE = 128
RECLAIM_AT_ONCE_MS = 1
DRAIN_FOR = timedelta(hours=1)

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker ended; no exit code means that nothing was left to tell it: it was killed."""

    worker_id: str
    exit_code: int | None = None
    is_oom: bool = False

    @property
    def is_clean(self) -> bool:
        return self.exit_code == 0 and not self.is_oom

    @property
    def cause(self) -> FailureCause:
        return FailureCause.OOM if self.is_oom else FailureCause.CRASH

    def describe(self) -> str:
        """Return the cause in words."""
        if self.is_oom:
            return "worker crash: out of memory, killed by the kernel (OOM)"
        if self.exit_code is None:
            return "worker crash: killed, no exit code was left"
        if self.exit_code > SIGNAL_BASE:
            number = self.exit_code - SIGNAL_BASE
            name = next((member.name for member in signal.Signals if member.value == number), "unknown")
            return f"worker crash: killed (signal {number}, {name})"
        return f"worker crash: exit code {self.exit_code}"


class DeathReporter:
    def __init__(self, store: StatusStore, bus: Bus, clock: Clock, *, owner: str, mirror: ApiMirror | None) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._owner = owner
        self._mirror = mirror

    async def report(self, death: Death, record: WorkerRecord | None = None) -> WorkerStatus | None:
        """Settle a worker's end once; return its final status, None when unknown or in another replica's hands.

        An output is published before the status becomes final, so that a repeat after a crash in between finds either
        the output or the unfinished hash, and never loses one.
        """
        state = await self._store.load(death.worker_id)
        if (state is None or state.status is None) and record is not None:
            await self._store.put(death.worker_id, record.to_labels())
            state = await self._store.load(death.worker_id)
        if state is None:
            log.warning("an unknown worker ended", worker_id=death.worker_id, cause=death.describe())
            return None
        if state.is_final:
            return state.status
        if not await self._store.lock_death(death.worker_id, self._owner):
            return None
        status = await self._settle(death, state)
        await self._store.unlock_death(death.worker_id)
        return status

    async def _settle(self, death: Death, state: WorkerState) -> WorkerStatus:
        status = _final_status(death, state)
        fields = {} if death.exit_code is None else {"exit_code": str(death.exit_code)}
        if status is WorkerStatus.FAILED:
            reason = death.describe() if not state.error else f"{death.describe()}; {state.error}"
            fields["error"] = reason
            if state.progress is not None:
                await self._answer_progress(death, state, state.progress, reason)
        log.info("a worker ended", worker_id=death.worker_id, status=status.value, cause=death.describe())
        await self._store.finish(death.worker_id, status, self._clock.now(), fields)
        if self._mirror is not None:
            self._mirror.put(await self._store.load(death.worker_id))
        return status

    async def _answer_progress(
        self, death: Death, state: WorkerState, progress: RequestInProgress, reason: str
    ) -> None:
        # Without a claim time the hash was not written by the wrapper, and nothing can have been answered.
        if progress.claimed_at is not None and progress.request_id in await self._answered(state):
            log.info("the request of an ended worker was answered", request_id=progress.request_id)
        else:
            with correlation(progress.correlation_id or progress.request_id):
                await self._publish_failure(death, state, progress, reason)
        if progress.input_stream and progress.input_entry_id:
            stream: Stream[DeveloperWorkerInput] = Stream(progress.input_stream, DeveloperWorkerInput)
            await self._bus.ack(stream, WRAPPER_GROUP, progress.input_entry_id)

    async def _publish_failure(
        self, death: Death, state: WorkerState, progress: RequestInProgress, reason: str
    ) -> None:
        if state.worker_type is WorkerType.DEVELOPER:
            await self._bus.publish(
                DEVELOPER_OUTPUT,
                DeveloperWorkerOutput(
                    request_id=progress.request_id,
                    status=ResultStatus.FAILED,
                    error=reason,
                    task_id=state.task_id or "",
                    worker_id=state.worker_id,
                    run_id=state.run_id,
                    stage=Stage(progress.stage) if progress.stage in list(Stage) else Stage.FREE,
                    attempt=progress.attempt,
                    fence=progress.fence,
                    attempt_token=progress.attempt_token,
                    exit_code=death.exit_code,
                    cause=death.cause,
                ),
            )
        elif state.worker_type is WorkerType.PO:
            await self._bus.publish(
                PO_OUTPUT.at(state.worker_id),
                POWorkerOutput(
                    request_id=progress.request_id,
                    status=ResultStatus.FAILED,
                    error=reason,
                    user_id=state.user_id or "",
                    worker_id=state.worker_id,
                ),
            )
        else:
            log.warning("no output: the type of the worker is unknown", worker_id=state.worker_id)

    async def drain(self, state: WorkerState) -> int:
        """Answer what lies unread in an ended worker's own input stream; return how many messages that were."""
        if state.worker_type is None or (state.pooled and state.worker_type is WorkerType.DEVELOPER):
            return 0
        is_po = state.worker_type is WorkerType.PO
        stream: Stream[Any] = PO_INPUT.at(state.worker_id) if is_po else DEVELOPER_INPUT.at(state.worker_id)
        if not (await self._bus.stats(stream)).length:
            return 0
        answered = await self._answered(state)
        reason = state.error or f"the worker had ended ({state.status}) before it answered"

        async def answer(message: POWorkerInput | DeveloperWorkerInput, delivery: Delivery) -> None:
            if message.request_id in answered:
                return
            if isinstance(message, POWorkerInput):
                await self._bus.publish(PO_OUTPUT.at(state.worker_id), _po_failure(message, state, reason))
            else:
                await self._bus.publish(DEVELOPER_OUTPUT, _developer_failure(message, state, reason))

        sub: StreamSub[Any] = StreamSub(stream, WRAPPER_GROUP, self._owner, answer, reclaim_idle_ms=RECLAIM_AT_ONCE_MS)
        return await self._bus.drain_once(sub)

    async def _answered(self, state: WorkerState) -> set[str]:
        """Return the request ids with a final output in the worker's output stream."""
        is_po = state.worker_type is WorkerType.PO
        stream: Stream[Any] = PO_OUTPUT.at(state.worker_id) if is_po else DEVELOPER_OUTPUT
        return {
            output.request_id
            async for output in self._outputs(stream)
            if not isinstance(output, POWorkerOutput) or output.is_final
        }

    async def _outputs(self, stream: Stream[Any]) -> AsyncIterator[POWorkerOutput | DeveloperWorkerOutput]:
        after = "0"
        while page := await self._bus.read(stream, after=after, count=PAGE):
            for _, output in page:
                yield output
            after = page[-1][0]


def _final_status(death: Death, state: WorkerState) -> WorkerStatus:
    if state.ended_by is not None:
        return WorkerStatus.STOPPED
    return WorkerStatus.COMPLETED if death.is_clean else WorkerStatus.FAILED


def _po_failure(message: POWorkerInput, state: WorkerState, reason: str) -> POWorkerOutput:
    return POWorkerOutput(
        request_id=message.request_id,
        correlation_id=message.correlation_id,
        status=ResultStatus.FAILED,
        error=reason,
        user_id=message.user_id,
        worker_id=state.worker_id,
    )


def _developer_failure(message: DeveloperWorkerInput, state: WorkerState, reason: str) -> DeveloperWorkerOutput:
    return DeveloperWorkerOutput(
        request_id=message.request_id,
        correlation_id=message.correlation_id,
        status=ResultStatus.FAILED,
        error=reason,
        task_id=message.task_id,
        worker_id=state.worker_id,
        run_id=message.run_id,
        stage=message.stage,
        attempt=message.attempt,
        fence=message.fence,
        attempt_token=message.attempt_token,
        exit_code=state.exit_code,
        cause=FailureCause.CRASH,
    )
