"""Which conversation a worker's agent is in: one id in Redis that lives as long as it is used."""

from __future__ import annotations

import json
import uuid

from redis.asyncio import Redis

from worker_wrapper import keys
from worker_wrapper.runners.base import Session

DEFAULT_TTL_SECONDS = 7200


class SessionManager:
    """Owns `worker:session:{owner}`. Only PO workers keep a conversation between messages."""

    def __init__(self, redis: Redis, worker_id: str, ttl: int = DEFAULT_TTL_SECONDS) -> None:
        self._redis = redis
        self._key = keys.session(worker_id)
        self._ttl_seconds = ttl

    async def get_or_create_session(self) -> str:
        """Return the conversation's id; each access lengthens its life."""
        return (await self.open()).session_id

    async def open(self) -> Session:
        """Return the conversation, and whether it begins now."""
        known = _session_id(await self._redis.get(self._key))
        if known is None:
            return await self.renew()
        await self.remember(known)
        return Session(known, is_new=False)

    async def renew(self) -> Session:
        """Begin a new conversation in place of the old one."""
        session = Session(str(uuid.uuid4()), is_new=True)
        await self.remember(session.session_id)
        return session

    async def remember(self, session_id: str) -> None:
        """Make this the conversation: some agents answer with a new id at each turn."""
        await self._redis.set(self._key, json.dumps({"session_id": session_id}), ex=self._ttl_seconds)


def _session_id(stored: str | bytes | None) -> str | None:
    """Return the stored id; None when there is none or the value is not ours."""
    if stored is None:
        return None
    try:
        value = json.loads(stored)
    except ValueError:
        return None
    session_id = value.get("session_id") if isinstance(value, dict) else None
    return session_id if isinstance(session_id, str) and session_id else None
