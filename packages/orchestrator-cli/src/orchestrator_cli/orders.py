"""Dual writes: a row through the api under an idempotency key, then one message on Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from orchestrator_cli.context import Context
from orchestrator_cli.errors import JsonObject, JsonValue, Unreachable, UsageFault
from orchestrator_cli.gateway import text
from orchestrator_cli.keys import idempotency_key
from shared.contracts.base import correlation
from shared.contracts.dto.work import ProjectCreate, TaskCreate
from shared.contracts.queues.work import DeployMessage, EngineeringMessage
from shared.contracts.topology import DEPLOY_QUEUE, ENGINEERING_QUEUE
from shared.contracts.vocabulary import TaskType
from shared.redis.errors import BusError

B = TypeVar("B", bound=BaseModel)
TITLE_CHARS = 200


async def create_project(context: Context, arguments: dict[str, JsonValue]) -> JsonObject:
    """Write a project and return its row; UsageFault names a field that breaks its rule."""
    body = validated(ProjectCreate, arguments)
    key = idempotency_key(context.scope, "project.create", arguments)
    return await context.gateway.create_project(_json(body, exclude={"owner_id"}), idempotency_key=key)


async def start_task(context: Context, project: JsonObject, kind: TaskType, task: str, title: str | None) -> JsonObject:
    """Write a task and publish its message; Unreachable when only the row could be written."""
    if not task.strip():
        raise UsageFault("task: must say what is to be done", {"field": "task"})
    arguments: dict[str, JsonValue] = {
        "project_id": text(project, "id"),
        "type": kind.value,
        "title": title or task.strip().splitlines()[0][:TITLE_CHARS],
        "description": task,
    }
    body = validated(TaskCreate, arguments)
    key = idempotency_key(context.scope, f"{kind.value}.start", arguments)
    row = await context.gateway.create_task(_json(body), idempotency_key=key)
    await _announce(context, row, kind, request_id=key[:32])
    return row


def validated(model: type[B], values: dict[str, JsonValue]) -> B:
    """Return the body; UsageFault names each field and its rule."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults: list[JsonValue] = []
        for item in error.errors():
            name = str(item["loc"][0]) if item["loc"] else "body"
            field = model.model_fields.get(name)
            rule = (field.description if field else None) or item["msg"]
            faults.append({"field": name, "message": rule})
        words = "; ".join(f"{f['field']}: {f['message']}" for f in faults if isinstance(f, dict))
        raise UsageFault(words, {"errors": faults}) from None


async def _announce(context: Context, row: JsonObject, kind: TaskType, request_id: str) -> None:
    ids = {
        "task_id": text(row, "id"),
        "project_id": text(row, "project_id"),
        "user_id": text(row, "owner_id"),
        "request_id": request_id,
    }
    try:
        async with context.open_bus() as bus:
            with correlated(context):
                if kind is TaskType.DEPLOY:
                    await bus.publish(DEPLOY_QUEUE, DeployMessage(**ids))
                else:
                    await bus.publish(ENGINEERING_QUEUE, EngineeringMessage(**ids))
    except BusError as error:
        raise Unreachable(
            f"the task {ids['task_id']} is stored but its message could not be published ({error}); run the same "
            f"command again with WORKER_REQUEST_ID={context.scope}: a retry publishes it once and creates nothing new. "
            "Left alone, the platform publishes it by itself within a minute.",
            {"task_id": ids["task_id"], "request_id": context.scope, "is_stored": True},
        ) from None


@contextmanager
def correlated(context: Context) -> Iterator[None]:
    """Let messages carry the correlation id of the turn this command runs in."""
    if context.settings.correlation_id is None:
        yield
        return
    with correlation(context.settings.correlation_id):
        yield


def _json(body: BaseModel, exclude: set[str] | None = None) -> JsonObject:
    return body.model_dump(mode="json", exclude=exclude, exclude_none=True)
