"""Conversations in Redis."""

from __future__ import annotations

from typing import Any

from fakeredis import FakeAsyncRedis

from worker_wrapper.session import SessionManager


def FakeRedis() -> Any:
    return FakeAsyncRedis(decode_responses=True)


class TestSessionManager:
    async def test_creates_new_session_if_not_exists(self) -> None:
        """Should generate new session_id if none in Redis."""
        redis = FakeRedis()
        manager = SessionManager(redis, worker_id="worker-1")

        session_id = await manager.get_or_create_session()

        assert session_id is not None
        assert len(session_id) == 36  # UUID format

    async def test_returns_existing_session(self) -> None:
        """Should return existing session_id from Redis."""
        redis = FakeRedis()
        await redis.set("worker:session:worker-1", '{"session_id": "existing-123"}')

        manager = SessionManager(redis, worker_id="worker-1")
        session_id = await manager.get_or_create_session()

        assert session_id == "existing-123"

    async def test_session_has_ttl(self) -> None:
        """Session should have TTL set."""
        redis = FakeRedis()
        manager = SessionManager(redis, worker_id="worker-1", ttl=7200)

        await manager.get_or_create_session()

        ttl = await redis.ttl("worker:session:worker-1")
        assert 0 < ttl <= 7200

    async def test_updates_session_on_each_access(self) -> None:
        """Session TTL should refresh on access."""
        redis = FakeRedis()
        manager = SessionManager(redis, worker_id="worker-1", ttl=7200)

        await manager.get_or_create_session()
        # Most of the time passes.
        await redis.expire("worker:session:worker-1", 5)
        await manager.get_or_create_session()

        # TTL should be refreshed
        ttl = await redis.ttl("worker:session:worker-1")
        assert ttl > 7000


async def test_it_tells_whether_a_conversation_begins_now() -> None:
    manager = SessionManager(FakeRedis(), worker_id="worker-1")
    first, second = await manager.open(), await manager.open()
    assert first.is_new
    assert not second.is_new
    assert first.session_id == second.session_id


async def test_a_renewed_conversation_replaces_the_old_one() -> None:
    manager = SessionManager(FakeRedis(), worker_id="worker-1")
    old = await manager.open()
    new = await manager.renew()
    assert new.is_new
    assert new.session_id != old.session_id
    assert (await manager.open()).session_id == new.session_id


async def test_a_value_that_is_not_ours_begins_a_new_conversation() -> None:
    redis = FakeRedis()
    for value in ("garbage", "[]", '{"session_id": 5}'):
        await redis.set("worker:session:worker-1", value)
        assert (await SessionManager(redis, worker_id="worker-1").open()).is_new
