"""Users, chat messages, settings, leases, tokens."""

from __future__ import annotations

from pydantic import AwareDatetime, Field, JsonValue

from shared.contracts.base import Contract
from shared.contracts.vocabulary import ChatDirection, ChatMessageState


class UserUpsert(Contract):
    telegram_id: int
    name: str = ""
    is_admin: bool = False


class UserDTO(Contract):
    id: str
    telegram_id: int
    name: str
    is_admin: bool
    created_at: AwareDatetime


class ChatMessageCreate(Contract):
    """Created once per dedupe_key (`update:{id}` for updates): a repeat returns the row that exists."""

    user_id: str
    chat_id: int
    direction: ChatDirection
    dedupe_key: str = Field(min_length=1, max_length=200)
    text: str = ""
    update_id: int | None = None
    telegram_message_id: int | None = None
    state: ChatMessageState
    request_id: str | None = None


class ChatMessageUpdate(Contract):
    """Fields left out stay as they are."""

    state: ChatMessageState | None = None
    text: str | None = None
    telegram_message_id: int | None = None
    request_id: str | None = None
    worker_id: str | None = None


class ChatMessageDTO(Contract):
    id: int
    user_id: str
    chat_id: int
    direction: ChatDirection
    dedupe_key: str
    text: str
    update_id: int | None
    telegram_message_id: int | None
    state: ChatMessageState
    request_id: str | None
    worker_id: str | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class SettingDTO(Contract):
    name: str
    value: JsonValue


class LeaseClaim(Contract):
    owner: str = Field(min_length=1, max_length=200)
    ttl_seconds: float = Field(gt=0, le=3600)


class LeaseDTO(Contract):
    """A lease as granted; a write with an older fence is refused."""

    name: str
    owner: str
    fence: int
    expires_at: AwareDatetime


class LeaseRenew(Contract):
    owner: str
    fence: int
    ttl_seconds: float = Field(gt=0, le=3600)


class LeaseRelease(Contract):
    owner: str
    fence: int


class WorkerTokenRequest(Contract):
    worker_id: str
    owner_id: str
    scopes: list[str] = Field(description="allowed `group.command` patterns, wildcards permitted")
    run_id: str | None = None
    ttl_seconds: int = Field(default=86_400, ge=1, le=604_800)


class WorkerTokenDTO(Contract):
    token: str
    expires_at: AwareDatetime
