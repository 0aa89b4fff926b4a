"""Answers to commands, and the stream each answer goes to."""

from __future__ import annotations

from shared.contracts.queues.workers import (
    CreateWorkerCommand,
    CreateWorkerResponse,
    DeleteWorkerCommand,
    DeleteWorkerResponse,
    RefusalCode,
    StatusWorkerCommand,
    StatusWorkerResponse,
    WorkerCommand,
    WorkerResponse,
)
from shared.contracts.topology import WORKER_RESPONSES_DEVELOPER, WORKER_RESPONSES_PO, Stream
from shared.contracts.vocabulary import WorkerStatus, WorkerType
from shared.runtime.errors import Category, PlatformError
from worker_manager.errors import Refused

STREAMS: dict[WorkerType, Stream[WorkerResponse]] = {
    WorkerType.PO: WORKER_RESPONSES_PO,
    WorkerType.DEVELOPER: WORKER_RESPONSES_DEVELOPER,
}
_RESPONSES: dict[type, type[CreateWorkerResponse | DeleteWorkerResponse | StatusWorkerResponse]] = {
    CreateWorkerCommand: CreateWorkerResponse,
    DeleteWorkerCommand: DeleteWorkerResponse,
    StatusWorkerCommand: StatusWorkerResponse,
}


def response_streams(worker_type: WorkerType | None) -> list[Stream[WorkerResponse]]:
    """Return where an answer about such a worker goes: both streams while its type is unknown."""
    return list(STREAMS.values()) if worker_type is None else [STREAMS[worker_type]]


def granted(
    command: WorkerCommand,
    worker_id: str,
    status: WorkerStatus,
    *,
    error: str | None = None,
) -> WorkerResponse:
    """Return the answer to a command that was carried out; `error` is the worker's own, as a status tells it."""
    return _RESPONSES[type(command)](
        request_id=command.request_id,
        correlation_id=command.correlation_id,
        success=True,
        worker_id=worker_id,
        status=status,
        error=error,
    )


def refused(command: WorkerCommand, worker_id: str, error: PlatformError) -> WorkerResponse:
    """Return the answer that names why not, and whether asking again can help."""
    return _RESPONSES[type(command)](
        request_id=command.request_id,
        correlation_id=command.correlation_id,
        success=False,
        worker_id=worker_id,
        error=str(error),
        code=error.refusal if isinstance(error, Refused) else RefusalCode.RUNTIME_FAILED,
        retryable=error.is_retryable
        if isinstance(error, Refused)
        else error.category in (Category.TRANSIENT, Category.UPSTREAM),
    )
