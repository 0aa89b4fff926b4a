"""Users and chat messages."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import chat_messages, users
from orchestrator_api.errors import RowNotFound
from orchestrator_api.repositories.rows import (
    Page,
    changes,
    inserted,
    listed,
    matches,
    one_or_none,
    to_contract,
    updated,
)
from shared.contracts.base import new_id
from shared.contracts.dto.accounts import ChatMessageCreate, ChatMessageDTO, ChatMessageUpdate, UserDTO, UserUpsert
from shared.contracts.vocabulary import ChatDirection, ChatMessageState

CHAT_NULLABLE = frozenset({"telegram_message_id", "request_id", "worker_id"})


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which chat messages are wanted; None does not filter."""

    user_id: str | None = None
    direction: ChatDirection | None = None
    state: ChatMessageState | None = None
    request_id: str | None = None
    dedupe_key: str | None = None


async def upsert_user(database: Database, body: UserUpsert) -> UserDTO:
    """Return the one user of a telegram id, with the newest name that is not empty."""
    statement = insert(users).values(id=new_id(), **body.model_dump())
    name = sa.func.coalesce(sa.func.nullif(statement.excluded.name, ""), users.c.name)
    statement = statement.on_conflict_do_update(
        index_elements=[users.c.telegram_id], set_={"name": name, "is_admin": statement.excluded.is_admin}
    )
    async with database.read() as connection:
        row = (await connection.execute(statement.returning(users))).mappings().one()
    return to_contract(UserDTO, row)


async def get_user(database: Database, user_id: str) -> UserDTO:
    """Return the user, or raise RowNotFound."""
    async with database.read() as connection:
        row = await one_or_none(connection, users, users.c.id == user_id)
    if row is None:
        raise RowNotFound("user", user_id)
    return to_contract(UserDTO, row)


async def page_of_users(database: Database, page: Page, *, telegram_id: int | None) -> tuple[list[UserDTO], int | None]:
    """Return one page of users."""
    async with database.read() as connection:
        return await listed(connection, UserDTO, users, page, matches(users, {"telegram_id": telegram_id}))


async def create_message(database: Database, body: ChatMessageCreate) -> ChatMessageDTO:
    """Store a chat message once per dedupe key."""
    async with database.read() as connection:
        row = await inserted(connection, chat_messages, {**body.model_dump(mode="json"), "owner_id": body.user_id})
        if row is None:
            row = await one_or_none(connection, chat_messages, chat_messages.c.dedupe_key == body.dedupe_key)
    if row is None:
        raise RowNotFound("chat message", body.dedupe_key)
    return to_contract(ChatMessageDTO, row)


async def update_message(database: Database, message_id: int, body: ChatMessageUpdate) -> ChatMessageDTO:
    """Write the fields the body names."""
    async with database.read() as connection:
        news = changes(body, CHAT_NULLABLE)
        row = await updated(connection, chat_messages, news, chat_messages.c.id == message_id)
    if row is None:
        raise RowNotFound("chat message", message_id)
    return to_contract(ChatMessageDTO, row)


async def page_of_messages(
    database: Database, page: Page, wanted: MessageFilter
) -> tuple[list[ChatMessageDTO], int | None]:
    """Return one page of chat messages."""
    conditions = matches(chat_messages, asdict(wanted))
    async with database.read() as connection:
        return await listed(connection, ChatMessageDTO, chat_messages, page, conditions)
