"""Stores what an agent turn used, once per request and attempt, also when its answer came too late."""

from __future__ import annotations

from agent_graphs.journal import Journal
from shared.clients.api_port import Api
from shared.contracts.dto.work import TaskExecutionCreate
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.queues.workers import DeveloperWorkerOutput
from shared.contracts.vocabulary import AgentType, RunEventType, Stage


async def record_turn(api: Api, run_id: str, agent_type: AgentType, output: DeveloperWorkerOutput) -> None:
    """Store the turn's usage; stage test runs no agent and costs nothing."""
    if output.stage is Stage.TEST:
        return
    await api.record_execution(
        TaskExecutionCreate(
            request_id=output.request_id,
            attempt=output.attempt,
            stage=output.stage.value,
            agent_type=agent_type.value,
            run_id=run_id,
            task_id=output.task_id,
            worker_id=output.worker_id,
            status=output.status.value,
            usage=output.usage,
            duration_ms=output.duration_ms,
        )
    )


def note_tokens(journal: Journal, output: DeveloperWorkerOutput) -> None:
    """Tell observers what the turn used."""
    if output.stage is Stage.TEST:
        return
    usage = output.usage
    payload = RunEventPayload(
        stage=output.stage.value,
        attempt=output.attempt,
        request_id=output.request_id,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cost_usd=usage.cost_usd,
        duration_ms=output.duration_ms,
    )
    journal.add(RunEventType.TOKENS_USED, f"tokens:{output.request_id}", payload)
