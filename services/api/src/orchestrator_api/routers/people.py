"""/api/users and /api/chat-messages"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from orchestrator_api.context import Context, Service
from orchestrator_api.repositories import people
from orchestrator_api.repositories.people import MessageFilter
from orchestrator_api.routers.paging import Listed
from shared.contracts.dto.accounts import ChatMessageCreate, ChatMessageDTO, ChatMessageUpdate, UserDTO, UserUpsert
from shared.contracts.vocabulary import ChatDirection, ChatMessageState

router = APIRouter(tags=["people"])


@router.post("/users", status_code=201)
async def upsert_user(body: UserUpsert, context: Context, _: Service) -> UserDTO:
    return await people.upsert_user(context.database, body)


@router.get("/users")
async def list_users(context: Context, _: Service, listing: Listed, telegram_id: int | None = None) -> list[UserDTO]:
    return listing.answer(await people.page_of_users(context.database, listing.page, telegram_id=telegram_id))


@router.get("/users/{user_id}")
async def get_user(user_id: str, context: Context, _: Service) -> UserDTO:
    return await people.get_user(context.database, user_id)


@router.post("/chat-messages", status_code=201)
async def create_chat_message(body: ChatMessageCreate, context: Context, _: Service) -> ChatMessageDTO:
    return await people.create_message(context.database, body)


async def _filter(
    user_id: str | None = None,
    direction: ChatDirection | None = None,
    state: ChatMessageState | None = None,
    request_id: str | None = None,
    dedupe_key: str | None = None,
) -> MessageFilter:
    return MessageFilter(user_id, direction, state, request_id, dedupe_key)


@router.get("/chat-messages")
async def list_chat_messages(
    context: Context, _: Service, listing: Listed, wanted: Annotated[MessageFilter, Depends(_filter)]
) -> list[ChatMessageDTO]:
    return listing.answer(await people.page_of_messages(context.database, listing.page, wanted))


@router.patch("/chat-messages/{message_id}")
async def update_chat_message(message_id: int, body: ChatMessageUpdate, context: Context, _: Service) -> ChatMessageDTO:
    return await people.update_message(context.database, message_id, body)
