"""The command line over the in-memory api and bus."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator_cli.__main__ import main
from orchestrator_cli.context import Context, given
from orchestrator_cli.errors import CliError, InTheWay, JsonObject, JsonValue, NotAllowed, RowMissing, UsageFault
from orchestrator_cli.settings import CliSettings
from shared.clients.errors import ApiError, Conflict, Denied, Invalid, NotFound
from shared.contracts.dto.work import ProjectCreate, TaskCreate
from shared.redis.bus import Bus
from shared.testing import FakeApi, FakeBus

OWNER = "user-1"
_LEAVES: dict[type[ApiError], type[CliError]] = {
    NotFound: RowMissing,
    Conflict: InTheWay,
    Denied: NotAllowed,
    Invalid: UsageFault,
}


def row(model: BaseModel) -> JsonObject:
    value: JsonObject = model.model_dump(mode="json")
    return value


class MemoryGateway:
    """Implements Gateway over FakeApi, as one owner's token would see it."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api

    async def create_project(self, body: JsonObject, *, idempotency_key: str) -> JsonObject:
        create = ProjectCreate.model_validate({**body, "owner_id": OWNER})
        return row(await self._ask(self.api.create_project(create, idempotency_key=idempotency_key)))

    async def get_project(self, project_id: str) -> JsonObject:
        return row(await self._ask(self.api.get_project(project_id)))

    async def list_projects(self, *, name: str | None = None) -> list[JsonObject]:
        return [row(item) for item in await self._ask(self.api.list_projects(owner_id=OWNER, name=name))]

    async def create_task(self, body: JsonObject, *, idempotency_key: str) -> JsonObject:
        create = TaskCreate.model_validate(body)
        return row(await self._ask(self.api.create_task(create, idempotency_key=idempotency_key)))

    async def get_task(self, task_id: str) -> JsonObject:
        return row(await self._ask(self.api.get_task(task_id)))

    async def list_tasks(self, *, project_id: str | None = None) -> list[JsonObject]:
        return [row(item) for item in await self._ask(self.api.list_tasks(project_id=project_id, owner_id=OWNER))]

    async def list_runs(self, *, task_id: str) -> list[JsonObject]:
        return [row(item) for item in await self._ask(self.api.list_runs(task_id=task_id))]

    async def list_servers(self) -> list[JsonObject]:
        return [row(item) for item in await self._ask(self.api.list_servers())]

    async def list_incidents(self) -> list[JsonObject]:
        return [row(item) for item in await self._ask(self.api.list_incidents())]

    async def health(self) -> JsonValue:
        return {"status": "ok"}

    async def _ask(self, asking: Any) -> Any:
        try:
            return await asking
        except ApiError as error:
            raise _LEAVES[type(error)](str(error)) from None


@dataclass
class Cli:
    """Runs command lines in memory; `settings` may be replaced between them."""

    capture: pytest.CaptureFixture[str]
    api: FakeApi = field(default_factory=FakeApi)
    bus: FakeBus = field(default_factory=FakeBus)
    settings: CliSettings = field(default_factory=lambda: CliSettings(request_id="chat:1", user_id=OWNER))

    def __call__(self, *arguments: str) -> tuple[int, Any]:
        """Return the exit code and the one JSON object on stdout."""
        context = Context(self.settings, MemoryGateway(self.api), self._open_bus, self.settings.request_id or "random")
        with given(context):
            code = main(list(arguments))
        out = self.capture.readouterr().out
        assert out.count("\n") == 1, f"not exactly one line on stdout: {out!r}"
        return code, json.loads(out)

    def configure(self, **changes: Any) -> None:
        self.settings = replace(self.settings, **changes)

    @asynccontextmanager
    async def _open_bus(self) -> AsyncIterator[Bus]:
        yield self.bus


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    return Cli(capsys)
