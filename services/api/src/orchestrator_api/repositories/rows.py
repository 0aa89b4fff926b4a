"""What every repository does the same way: rows to contracts, pages, partial updates, first answers, the audit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator_api.db.tables import audit, idempotency_keys
from orchestrator_api.errors import BadRequest
from orchestrator_api.tokens import Caller

T = TypeVar("T", bound=BaseModel)
DEFAULT_LIMIT = 200
MAX_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """A cursor: rows numbered after `after`, at most `limit`."""

    limit: int = DEFAULT_LIMIT
    after: int = 0


def to_contract(model: type[T], row: sa.RowMapping, **extra: object) -> T:
    """Return the contract a row stands for; columns it does not show are dropped."""
    return model.model_validate({**dict(row.items()), **extra}, extra="ignore")


def matches(table: sa.Table, filters: Mapping[str, object]) -> list[sa.ColumnElement[bool]]:
    """Return an equality for every filter that was given."""
    return [table.c[name] == value for name, value in filters.items() if value is not None]


async def listed(
    connection: AsyncConnection,
    model: type[T],
    table: sa.Table,
    page: Page,
    conditions: list[sa.ColumnElement[bool]],
) -> tuple[list[T], int | None]:
    """Return one page in order of creation, and the cursor of the next page if this one is full."""
    cursor = table.c.number if "number" in table.c else table.c.id
    query = sa.select(table).where(cursor > page.after, *conditions).order_by(cursor).limit(page.limit)
    rows = (await connection.execute(query)).mappings().all()
    following = int(rows[-1][cursor.name]) if len(rows) == page.limit else None
    return [to_contract(model, row) for row in rows], following


async def one_or_none(
    connection: AsyncConnection, table: sa.Table, *conditions: sa.ColumnElement[bool]
) -> sa.RowMapping | None:
    """Return the only row that matches."""
    return (await connection.execute(sa.select(table).where(*conditions))).mappings().one_or_none()


def changes(body: BaseModel, nullable: frozenset[str]) -> dict[str, Any]:
    """Return the columns a partial update names; null clears what can be empty and is ignored elsewhere."""
    given = body.model_dump(mode="json", exclude_unset=True)
    return {name: value for name, value in given.items() if value is not None or name in nullable}


async def updated(
    connection: AsyncConnection, table: sa.Table, news: Mapping[str, Any], *conditions: sa.ColumnElement[bool]
) -> sa.RowMapping | None:
    """Write columns and the time of the change; return the row, or None when none matched."""
    statement = (
        sa.update(table).where(*conditions).values(**news, updated_at=sa.func.clock_timestamp()).returning(table)
    )
    row: sa.RowMapping | None = (await connection.execute(statement)).mappings().one_or_none()
    return row


async def inserted(connection: AsyncConnection, table: sa.Table, values: Mapping[str, Any]) -> sa.RowMapping | None:
    """Insert a row and return it; None when a row with one of its unique keys exists."""
    statement = insert(table).values(**values).on_conflict_do_nothing().returning(table)
    row: sa.RowMapping | None = (await connection.execute(statement)).mappings().one_or_none()
    return row


def violated(error: IntegrityError) -> str:
    """Return the name of the constraint a write ran into."""
    return str(getattr(getattr(error.orig, "__cause__", None), "constraint_name", "") or "")


async def first_answer(
    connection: AsyncConnection, caller: Caller, route: str, key: str, body: BaseModel
) -> str | None:
    """Take an idempotency key in this transaction, or return the answer already given under it.

    A second request with the key waits here until the first has committed. BadRequest when the bodies differ.
    """
    digest = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    identity = {"tenant": caller.tenant, "route": route, "key": key}
    if await inserted(connection, idempotency_keys, {**identity, "body_hash": digest}) is not None:
        return None
    row = await one_or_none(connection, idempotency_keys, *matches(idempotency_keys, identity))
    if row is None or row["body_hash"] != digest:
        raise BadRequest("this idempotency key was used with another body", code="idempotency_mismatch")
    answer: str | None = row["answer"]
    return answer


async def keep_answer(connection: AsyncConnection, caller: Caller, route: str, key: str, answer: str) -> None:
    """Store the answer of a request whose key `first_answer` took."""
    identity = {"tenant": caller.tenant, "route": route, "key": key}
    conditions = matches(idempotency_keys, identity)
    await connection.execute(sa.update(idempotency_keys).where(*conditions).values(answer=answer))


async def audited(connection: AsyncConnection, caller: Caller, action: str, target: str, detail: str = "") -> None:
    """Write who did what to which row."""
    await connection.execute(
        sa.insert(audit).values(
            owner_id=caller.owner_id,
            actor_kind=caller.kind,
            actor=caller.name,
            action=action,
            object=target,
            detail=detail,
        )
    )
