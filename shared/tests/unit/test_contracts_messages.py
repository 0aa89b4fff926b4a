"""Every message of the topology survives the wire; readers tolerate unknown fields, writers refuse them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError

from shared.contracts.base import QueueMeta, correlation
from shared.contracts.queues.events import (
    AdminNotification,
    DeadLetter,
    DeadLetterReason,
    ProgressEvent,
    ProvisionerMessage,
    ProvisionerResult,
    RunEvent,
    RunEventPayload,
    WorkflowConclusion,
    WorkflowState,
    WorkflowStatusEvent,
    WorkflowStatusResult,
)
from shared.contracts.queues.work import DeployMessage, EngineeringMessage, ScaffolderMessage, ScaffolderResult
from shared.contracts.queues.workers import (
    CreateWorkerCommand,
    CreateWorkerResponse,
    DeleteWorkerCommand,
    DeleteWorkerResponse,
    DeveloperWorkerInput,
    DeveloperWorkerOutput,
    FailureCause,
    LifecycleEvent,
    POWorkerInput,
    POWorkerOutput,
    RefusalCode,
    RepoRef,
    StatusWorkerCommand,
    StatusWorkerResponse,
    WorkerConfig,
    WorkerContext,
    WorkerLifecycleEvent,
)
from shared.contracts.run_machine import RunEventName, RunState
from shared.contracts.stages import AgentVerdict, Usage
from shared.contracts.topology import TOPOLOGY, Stream
from shared.contracts.vocabulary import (
    AgentType,
    AuthMode,
    ProjectModule,
    ResultStatus,
    RunEventType,
    Stage,
    TaskType,
    WorkerCapability,
    WorkerStatus,
    WorkerType,
)
from shared.redis.codec import Decoder, encode

EXAMPLES: tuple[QueueMeta, ...] = (
    EngineeringMessage(task_id="t", project_id="p", user_id="u", callback_stream="back"),
    DeployMessage(task_id="t", project_id="p", user_id="u"),
    ScaffolderMessage(project_id="p", project_name="todo-app", modules=[ProjectModule.TELEGRAM]),
    ScaffolderResult(request_id="r", status=ResultStatus.SUCCESS, project_id="p", files_generated=["a"], duration_ms=3),
    CreateWorkerCommand(
        config=WorkerConfig(
            name="w",
            worker_type=WorkerType.DEVELOPER,
            agent_type=AgentType.CLAUDE,
            capabilities=[WorkerCapability.GIT],
            auth_mode=AuthMode.API_KEY,
            api_key=SecretStr("sk-secret"),
            pooled=False,
        ),
        context=WorkerContext(run_id="run"),
    ),
    DeleteWorkerCommand(worker_id="w"),
    StatusWorkerCommand(worker_id="w"),
    CreateWorkerResponse(request_id="r", success=True, worker_id="w", status=WorkerStatus.RUNNING),
    DeleteWorkerResponse(request_id="r", success=False, code=RefusalCode.UNKNOWN_WORKER, error="no such worker"),
    StatusWorkerResponse(request_id="r", success=True, status=WorkerStatus.PAUSED),
    WorkerLifecycleEvent(worker_id="w", event=LifecycleEvent.FAILED, exit_code=1, result={"a": [1, None]}),
    POWorkerInput(user_id="u", prompt="привет"),
    POWorkerOutput(request_id="r", status=ResultStatus.SUCCESS, user_id="u", text="hi", usage=Usage(input_tokens=3)),
    DeveloperWorkerInput(
        task_id="t",
        project_id="p",
        stage=Stage.CODE,
        prompt="write",
        repo=RepoRef(clone_url="https://git/x.git", branch="run/1", token=SecretStr("ghs_secret")),
        fence=4,
        attempt_token="f" * 32,
    ),
    DeveloperWorkerOutput(
        request_id="r",
        status=ResultStatus.FAILED,
        task_id="t",
        cause=FailureCause.OOM,
        verdict=AgentVerdict(status="failure", summary="no", data={"n": 1.5}),
    ),
    ProvisionerMessage(server_handle="vps-1", is_recovery=True),
    ProvisionerResult(request_id="r", status=ResultStatus.TIMEOUT, server_handle="vps-1", errors=["slow"]),
    RunEvent(
        run_id="r",
        task_id="t",
        project_id="p",
        user_id="u",
        kind=TaskType.DEPLOY,
        seq=1,
        type=RunEventType.STATE_CHANGED,
        payload=RunEventPayload(state=RunState.CODING, event=RunEventName.PLAN_SUCCEEDED),
    ),
    ProgressEvent(type="progress", request_id="r", task_id="t", progress_pct=40),
    WorkflowStatusEvent(
        task_id="t",
        project_id="p",
        user_id="u",
        result=WorkflowStatusResult(run_id=1, status=WorkflowState.COMPLETED, conclusion=WorkflowConclusion.SUCCESS),
    ),
    AdminNotification(service="s", title="t", text="x", key="k"),
    DeadLetter(
        stream="s",
        group="g",
        entry_id="1-0",
        reason=DeadLetterReason.INVALID,
        error="e",
        attempts=1,
        service="x",
        died_at=datetime(2026, 1, 1, tzinfo=UTC),
        body="{}",
    ),
)
STREAMS: tuple[Stream[Any], ...] = (*TOPOLOGY, TOPOLOGY[0].dead_letters)


def carriers(message: QueueMeta) -> list[Stream[Any]]:
    """Return the streams that carry this message's type."""
    return [stream for stream in STREAMS if type(message).__name__ in names_in(stream)]


@cache
def names_in(stream: Stream[Any]) -> list[str]:
    """Return the names of the messages that a stream carries, as its schema has them."""
    schema = TypeAdapter(stream.model).json_schema()
    return [schema.get("title", ""), *(choice["$ref"].rsplit("/", 1)[1] for choice in schema.get("oneOf", []))]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_is_the_same_after_the_wire(message: QueueMeta) -> None:
    streams = carriers(message)
    assert streams
    for stream in streams:
        assert Decoder(stream).decode(encode(message)) == message


def test_every_stream_has_an_example() -> None:
    carried = {stream.name for message in EXAMPLES for stream in carriers(message)}
    assert carried == {stream.name for stream in STREAMS}


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_readers_ignore_unknown_fields_and_writers_refuse_them(message: QueueMeta) -> None:
    newer = {**json.loads(encode(message)), "added_by_a_newer_writer": {"x": 1}}
    for stream in carriers(message):
        assert Decoder(stream).decode(json.dumps(newer).encode()) == message
    with pytest.raises(ValidationError, match="added_by_a_newer_writer"):
        type(message).model_validate(newer)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_messages_are_frozen(message: QueueMeta) -> None:
    anything: Any = message
    with pytest.raises(ValidationError, match="frozen"):
        anything.correlation_id = "other"


def test_secrets_travel_to_their_reader_but_not_into_a_representation() -> None:
    command = next(message for message in EXAMPLES if isinstance(message, CreateWorkerCommand))
    assert b"sk-secret" in encode(command)
    assert "sk-secret" not in repr(command)


def test_a_message_made_inside_a_correlation_carries_it() -> None:
    with correlation("outer"), correlation("inner"):
        assert EngineeringMessage(task_id="t", project_id="p", user_id="u").correlation_id == "inner"
    assert EngineeringMessage(task_id="t", project_id="p", user_id="u").correlation_id not in ("outer", "inner")


@pytest.mark.parametrize("spelling", ["git", "GIT", " Git "])
def test_capabilities_are_read_in_any_case(spelling: str) -> None:
    assert TypeAdapter(WorkerCapability).validate_python(spelling) is WorkerCapability.GIT


def test_a_family_of_streams_is_filled_in_by_value() -> None:
    families = [stream for stream in TOPOLOGY if "{" in stream.name]
    assert families
    for stream in families:
        filled = stream.at("w1")
        assert "{" not in filled.name
        assert ":w1" in filled.name
        assert filled.model is stream.model


def test_stream_names_are_unique() -> None:
    names = [stream.name for stream in TOPOLOGY]
    assert len(names) == len(set(names))


def test_every_message_states_its_version() -> None:
    for message in EXAMPLES:
        assert isinstance(message, BaseModel)
        assert json.loads(encode(message))["version"] == "1"
