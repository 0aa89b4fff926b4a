"""The rows behind the in-memory api, with the clock and the ids they are stamped with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from pydantic import BaseModel, JsonValue

from shared.clients.errors import Conflict, Invalid, NotFound
from shared.contracts.base import new_id
from shared.contracts.dto import accounts, infrastructure, work
from shared.contracts.dto.problem import FieldError

T = TypeVar("T", bound=BaseModel)
V = TypeVar("V")


class HasNow(Protocol):
    """The part of a clock the fake reads."""

    def now(self) -> datetime: ...


class HasNew(Protocol):
    """The part of an id source the fake uses."""

    def new(self) -> str: ...


class FakeApiStore:
    """Rows by their keys; subclasses add the verbs of one group of resources each."""

    def __init__(self, clock: HasNow | None = None, ids: HasNew | None = None) -> None:
        self._clock = clock
        self._ids = ids
        self._answers: dict[tuple[str, str], tuple[BaseModel, BaseModel]] = {}
        self._serial = 0
        self.projects: dict[str, work.ProjectDTO] = {}
        self.tasks: dict[str, work.TaskDTO] = {}
        self.runs: dict[str, work.RunDTO] = {}
        self.run_keys: dict[tuple[str, str], str] = {}
        self.events: dict[str, list[work.RunEventDTO]] = {}
        self.event_keys: dict[tuple[str, str], int] = {}
        self.last_events: dict[str, str] = {}
        self.evidence: dict[str, dict[tuple[str, str], work.EvidenceDTO]] = {}
        self.executions: dict[tuple[str, int], work.TaskExecutionDTO] = {}
        self.users: dict[str, accounts.UserDTO] = {}
        self.chat_messages: dict[int, accounts.ChatMessageDTO] = {}
        self.settings: dict[str, JsonValue] = {}
        self.leases: dict[str, accounts.LeaseDTO] = {}
        self.servers: dict[str, infrastructure.ServerDTO] = {}
        self.allocations: dict[tuple[str, str], infrastructure.AllocationDTO] = {}
        self.deployments: dict[int, infrastructure.DeploymentDTO] = {}
        self.workers: dict[str, infrastructure.WorkerDTO] = {}
        self.incidents: dict[int, infrastructure.IncidentDTO] = {}
        self.dead_letters: dict[int, infrastructure.DeadLetterDTO] = {}
        self.run_changed = asyncio.Condition()

    def now(self) -> datetime:
        return self._clock.now() if self._clock is not None else datetime.now(UTC)

    def new_id(self) -> str:
        return self._ids.new() if self._ids is not None else new_id()

    def next_number(self) -> int:
        """Return the next number of the one sequence all integer ids come from."""
        self._serial += 1
        return self._serial

    def first_answer(self, route: str, key: str | None, body: BaseModel, model: type[T]) -> T | None:
        """Return the answer stored under an idempotency key; Invalid when it was given for another body."""
        if key is None or (route, key) not in self._answers:
            return None
        stored_body, answer = self._answers[(route, key)]
        if stored_body != body:
            raise Invalid("this idempotency key was used with another body", code="idempotency_mismatch")
        return model.model_validate(answer.model_dump())

    def keep_answer(self, route: str, key: str | None, body: BaseModel, answer: BaseModel) -> None:
        if key is not None:
            self._answers[(route, key)] = (body, answer)


def found(rows: Mapping[str, V], key: str, what: str) -> V:
    """Return the row, or raise NotFound naming it."""
    try:
        return rows[key]
    except KeyError:
        raise NotFound(f"there is no {what} {key}") from None


def refused(code: str, message: str) -> Conflict:
    return Conflict(message, code=code)


def invalid(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", code="invalid_request", errors=[FieldError(field=field, message=message)])


def changes(body: BaseModel, nullable: frozenset[str]) -> dict[str, object]:
    """Return the fields a partial update names; null clears what can be empty and is ignored elsewhere."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    return {name: value for name, value in given.items() if value is not None or name in nullable}
