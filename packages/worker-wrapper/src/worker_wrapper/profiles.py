"""The two kinds of worker: what they read, what they answer, and how."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Protocol, TypeVar

from shared.contracts.base import BaseMessage, BaseResult
from shared.contracts.queues.workers import (
    DeveloperWorkerInput,
    DeveloperWorkerOutput,
    POWorkerInput,
    POWorkerOutput,
)
from shared.contracts.topology import (
    DEVELOPER_INPUT,
    DEVELOPER_INPUT_POOL,
    DEVELOPER_OUTPUT,
    PO_INPUT,
    PO_OUTPUT,
    Stream,
)
from shared.contracts.vocabulary import ResultStatus
from worker_wrapper.environment import agent_environment
from worker_wrapper.patience import Patience
from worker_wrapper.runners.base import Session
from worker_wrapper.session import SessionManager
from worker_wrapper.settings import WrapperSettings
from worker_wrapper.stages import StageExecutor
from worker_wrapper.turns import AgentTurns, Turn, TurnResult

In = TypeVar("In", bound=BaseMessage)
Out = TypeVar("Out", bound=BaseResult)


class Profile(Protocol[In, Out]):
    """One kind of worker."""

    @property
    def inputs(self) -> Stream[In]: ...

    @property
    def outputs(self) -> Stream[Out]: ...

    async def answer(self, message: In) -> Out:
        """Do what the message asks. Interrupted when told to stop: then the message goes back."""
        ...

    def claim_fields(self, message: In) -> dict[str, str]:
        """Return what the manager needs to answer for a worker that died over this message."""
        ...

    def restamp(self, body: str, message: In) -> Out:
        """Return a kept answer as the answer to a repeated request."""
        ...


class PoProfile:
    """A product owner: one conversation with one user."""

    def __init__(
        self,
        settings: WrapperSettings,
        turns: AgentTurns,
        sessions: SessionManager,
        patience: Patience,
        stop: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._turns = turns
        self._sessions = sessions
        self._patience = patience
        self._stop = stop

    @property
    def inputs(self) -> Stream[POWorkerInput]:
        return PO_INPUT.at(self._settings.worker_id)

    @property
    def outputs(self) -> Stream[POWorkerOutput]:
        return PO_OUTPUT.at(self._settings.worker_id)

    async def answer(self, message: POWorkerInput) -> POWorkerOutput:
        began = time.monotonic()
        session = await self._patience.keep_trying(self._sessions.open)
        result = await self._take(message, session, began)
        if result.lost_its_conversation and not session.is_new:
            session = await self._patience.keep_trying(self._sessions.renew)
            second = await self._take(message, session, began)
            result = replace(second, usage=result.usage.plus(second.usage))
        if result.session_id and result.session_id != session.session_id and result.cause is None:
            session_id = result.session_id
            await self._patience.keep_trying(lambda: self._sessions.remember(session_id))
        return POWorkerOutput(
            request_id=message.request_id,
            correlation_id=message.correlation_id,
            status=result.status,
            error=result.error,
            duration_ms=round((time.monotonic() - began) * 1000),
            user_id=message.user_id,
            worker_id=self._settings.worker_id,
            text=result.text if result.status is ResultStatus.SUCCESS else "",
            usage=result.usage,
            session_id=result.session_id or session.session_id,
        )

    def claim_fields(self, message: POWorkerInput) -> dict[str, str]:
        return {"request_id": message.request_id, "user_id": message.user_id}

    def restamp(self, body: str, message: POWorkerInput) -> POWorkerOutput:
        kept = POWorkerOutput.model_validate_json(body)
        return kept.model_copy(update={"correlation_id": message.correlation_id})

    async def _take(self, message: POWorkerInput, session: Session, began: float) -> TurnResult:
        turn = Turn(
            prompt=message.prompt,
            cwd=self._settings.workspace,
            env=agent_environment(self._settings, message.request_id, message.user_id),
            seconds=message.timeout - (time.monotonic() - began),
            session=session,
        )
        return await self._turns.take(turn, self._stop)


class DeveloperProfile:
    """A developer: stages of runs, each with a conversation of its own."""

    def __init__(self, settings: WrapperSettings, stages: StageExecutor) -> None:
        self._settings = settings
        self._stages = stages

    @property
    def inputs(self) -> Stream[DeveloperWorkerInput]:
        return DEVELOPER_INPUT_POOL if self._settings.is_pooled else DEVELOPER_INPUT.at(self._settings.worker_id)

    @property
    def outputs(self) -> Stream[DeveloperWorkerOutput]:
        return DEVELOPER_OUTPUT

    async def answer(self, message: DeveloperWorkerInput) -> DeveloperWorkerOutput:
        began = time.monotonic()
        outcome = await self._stages.run(message)
        return DeveloperWorkerOutput(
            request_id=message.request_id,
            correlation_id=message.correlation_id,
            task_id=message.task_id,
            worker_id=self._settings.worker_id,
            run_id=message.run_id,
            stage=message.stage,
            attempt=message.attempt,
            fence=message.fence,
            attempt_token=message.attempt_token,
            duration_ms=round((time.monotonic() - began) * 1000),
            status=outcome.status,
            error=outcome.error,
            cause=outcome.cause,
            verdict=outcome.verdict,
            commit_sha=outcome.commit_sha,
            pr_url=outcome.pr_url,
            usage=outcome.usage,
            session_id=outcome.session_id,
            exit_code=outcome.exit_code,
            retry_at=outcome.retry_at,
        )

    def claim_fields(self, message: DeveloperWorkerInput) -> dict[str, str]:
        optional = {"run_id": message.run_id, "attempt_token": message.attempt_token}
        return {
            "request_id": message.request_id,
            "task_id": message.task_id,
            "stage": message.stage.value,
            "attempt": str(message.attempt),
            "fence": str(message.fence),
            **{name: value for name, value in optional.items() if value is not None},
        }

    def restamp(self, body: str, message: DeveloperWorkerInput) -> DeveloperWorkerOutput:
        kept = DeveloperWorkerOutput.model_validate_json(body)
        return kept.model_copy(
            update={
                "correlation_id": message.correlation_id,
                "attempt": message.attempt,
                "fence": message.fence,
                "attempt_token": message.attempt_token,
            }
        )
