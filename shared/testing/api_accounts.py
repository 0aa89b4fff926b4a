"""Users, chat messages, settings, leases and worker tokens, in memory."""

from __future__ import annotations

from datetime import timedelta

from pydantic import JsonValue

from shared.clients.errors import NotFound
from shared.contracts.dto.accounts import (
    ChatMessageCreate,
    ChatMessageDTO,
    ChatMessageUpdate,
    LeaseDTO,
    UserDTO,
    UserUpsert,
    WorkerTokenDTO,
    WorkerTokenRequest,
)
from shared.contracts.vocabulary import ChatDirection, ChatMessageState
from shared.testing.api_store import FakeApiStore, changes, found, refused

CHAT_NULLABLE = frozenset({"telegram_message_id", "request_id", "worker_id"})


class FakeAccounts(FakeApiStore):
    """One user per telegram id, one chat message per dedupe key, leases with fences."""

    async def upsert_user(self, body: UserUpsert) -> UserDTO:
        known = next((row for row in self.users.values() if row.telegram_id == body.telegram_id), None)
        if known is None:
            row = UserDTO(**body.model_dump(), id=self.new_id(), created_at=self.now())
        else:
            row = known.model_copy(update={"name": body.name or known.name, "is_admin": body.is_admin})
        self.users[row.id] = row
        return row

    async def get_user(self, user_id: str) -> UserDTO:
        return found(self.users, user_id, "user")

    async def list_users(self, *, telegram_id: int | None = None) -> list[UserDTO]:
        return [row for row in self.users.values() if telegram_id in (None, row.telegram_id)]

    async def create_chat_message(self, body: ChatMessageCreate) -> ChatMessageDTO:
        for row in self.chat_messages.values():
            if row.dedupe_key == body.dedupe_key:
                return row
        now = self.now()
        number = self.next_number()
        row = ChatMessageDTO(**body.model_dump(), id=number, worker_id=None, created_at=now, updated_at=now)
        self.chat_messages[number] = row
        return row

    async def update_chat_message(self, message_id: int, body: ChatMessageUpdate) -> ChatMessageDTO:
        if message_id not in self.chat_messages:
            raise NotFound(f"there is no chat message {message_id}")
        news = {**changes(body, CHAT_NULLABLE), "updated_at": self.now()}
        self.chat_messages[message_id] = self.chat_messages[message_id].model_copy(update=news)
        return self.chat_messages[message_id]

    async def list_chat_messages(
        self,
        *,
        user_id: str | None = None,
        direction: ChatDirection | None = None,
        state: ChatMessageState | None = None,
        request_id: str | None = None,
        dedupe_key: str | None = None,
    ) -> list[ChatMessageDTO]:
        return [
            row
            for row in self.chat_messages.values()
            if user_id in (None, row.user_id)
            and direction in (None, row.direction)
            and state in (None, row.state)
            and request_id in (None, row.request_id)
            and dedupe_key in (None, row.dedupe_key)
        ]

    async def get_setting(self, name: str) -> JsonValue:
        return self.settings.get(name)

    async def put_setting(self, name: str, value: JsonValue) -> JsonValue:
        self.settings[name] = value
        return value

    async def claim_lease(self, name: str, owner: str, ttl_seconds: float) -> LeaseDTO:
        held = self.leases.get(name)
        if held is not None and held.owner not in ("", owner) and held.expires_at > self.now():
            raise refused("lease_held", f"{held.owner} holds the lease {name}")
        fence = 1 if held is None else held.fence + 1
        return self._grant(name, owner, fence, ttl_seconds)

    async def renew_lease(self, name: str, owner: str, fence: int, ttl_seconds: float) -> LeaseDTO:
        held = self.leases.get(name)
        if held is None or (held.owner, held.fence) != (owner, fence):
            raise refused("stale_fence", f"fence {fence} of the lease {name} is not the current one")
        return self._grant(name, owner, fence, ttl_seconds)

    async def release_lease(self, name: str, owner: str, fence: int) -> None:
        held = self.leases.get(name)
        if held is None or held.fence != fence or held.owner not in ("", owner):
            raise refused("stale_fence", f"fence {fence} of the lease {name} is not the current one")
        self.leases[name] = held.model_copy(update={"owner": "", "expires_at": self.now()})

    def _grant(self, name: str, owner: str, fence: int, ttl_seconds: float) -> LeaseDTO:
        expires_at = self.now() + timedelta(seconds=ttl_seconds)
        self.leases[name] = LeaseDTO(name=name, owner=owner, fence=fence, expires_at=expires_at)
        return self.leases[name]

    async def create_worker_token(self, body: WorkerTokenRequest) -> WorkerTokenDTO:
        expires_at = self.now() + timedelta(seconds=body.ttl_seconds)
        return WorkerTokenDTO(token=f"fake-token.{body.worker_id}", expires_at=expires_at)
