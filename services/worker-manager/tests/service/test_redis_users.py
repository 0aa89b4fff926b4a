"""A worker's own user on real servers, old and new: what it may do, what it may not, and how it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from shared.contracts.vocabulary import AgentType, WorkerType
from shared.testing.api import FakeApi
from shared.testing.redis_releases import BOTH_SERVERS, DEBIAN
from shared.testing.redis_server import RunningRedis
from worker_manager.credentials import CredentialIssuer
from worker_manager.records import WorkerRecord
from worker_manager.redis_users import RedisUsers
from worker_manager.testing import create_command
from worker_wrapper.settings import WrapperSettings
from worker_wrapper.wrapper import WorkerWrapper

pytestmark = pytest.mark.service
GROUP = "worker-wrapper"


def record(request_id: str = "run-1:worker:1", *allowed: str) -> WorkerRecord:
    return WorkerRecord.of(create_command(request_id, allowed_commands=list(allowed)))


@pytest.fixture
async def manager(redis_server: RunningRedis) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_server.url, socket_timeout=10) as client:
        await client.flushall()
        yield client
        for worker_id in await RedisUsers(client, redis_server.url, "s").workers():
            await client.acl_deluser(f"worker-{worker_id}")


@pytest.fixture
def users(manager: Redis, redis_server: RunningRedis) -> RedisUsers:
    return RedisUsers(manager, redis_server.url, "a-secret-of-the-test")


def client_of(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=10, protocol=2)


@BOTH_SERVERS
async def test_a_whole_turn_of_the_wrapper_needs_no_right_beyond_its_users(
    users: RedisUsers, manager: Redis, redis_server: RunningRedis
) -> None:
    worker = record()
    stream = f"worker:developer:{worker.worker_id}:input"
    await manager.xgroup_create(stream, GROUP, "0", mkstream=True)
    body = '{"request_id": "r1", "task_id": "t1", "project_id": "p1", "prompt": "do it"}'
    await manager.xadd(stream, {"data": body})
    settings = WrapperSettings(worker.worker_id, agent_type=AgentType.MOCK, is_pooled=False)
    async with client_of(await users.grant(worker)) as redis:
        wrapper = WorkerWrapper(redis=redis, worker_id=worker.worker_id, settings=settings)
        assert await wrapper.process_one_message()
        await wrapper.close()
    assert await manager.xlen("worker:developer:output") == 1
    assert (await manager.xpending(stream, GROUP))["pending"] == 0


@BOTH_SERVERS
async def test_what_belongs_to_others_is_denied(users: RedisUsers, manager: Redis, redis_server: RunningRedis) -> None:
    mine, other = record(), record("run-2:worker:1")
    for worker in (mine, other):
        await manager.xgroup_create(f"worker:developer:{worker.worker_id}:input", GROUP, "0", mkstream=True)
    async with client_of(await users.grant(mine)) as redis:
        for attempt in (
            lambda: redis.xreadgroup(GROUP, "x", {f"worker:developer:{other.worker_id}:input": ">"}),
            lambda: redis.xack(f"worker:developer:{other.worker_id}:input", GROUP, "1-1"),
            lambda: redis.xadd("worker:commands", {"data": "{}"}),
            lambda: redis.xadd("engineering:queue", {"data": "{}"}),
            lambda: redis.hset(f"worker:status:{other.worker_id}", "status", "FAILED"),
            lambda: redis.xgroup_create("worker:developer:output", "mine", "0"),
            lambda: redis.keys("*"),
            lambda: redis.config_get("*"),
            lambda: redis.eval("return 1", 0),
        ):
            with pytest.raises(NoPermissionError):
                await attempt()


@pytest.mark.parametrize("redis_binary", [DEBIAN], indirect=True, scope="session")
async def test_with_selectors_it_can_neither_read_its_outputs_nor_write_its_input(
    users: RedisUsers, redis_server: RunningRedis
) -> None:
    worker = record()
    async with client_of(await users.grant(worker)) as redis:
        with pytest.raises(NoPermissionError):
            await redis.xadd(f"worker:developer:{worker.worker_id}:input", {"data": "{}"})
        with pytest.raises(NoPermissionError):
            await redis.xreadgroup(GROUP, "x", {"worker:developer:output": ">"})


@BOTH_SERVERS
async def test_a_queue_opens_with_the_command_that_writes_to_it(users: RedisUsers, redis_server: RunningRedis) -> None:
    async with client_of(await users.grant(record("run-1:worker:1", "engineering.*"))) as redis:
        assert await redis.xadd("engineering:queue", {"data": "{}"})
        with pytest.raises(NoPermissionError):
            await redis.xadd("deploy:queue", {"data": "{}"})


@BOTH_SERVERS
async def test_a_product_owner_keeps_its_conversation(users: RedisUsers, redis_server: RunningRedis) -> None:
    worker = WorkerRecord.of(create_command("po:1", worker_type=WorkerType.PO))
    async with client_of(await users.grant(worker)) as redis:
        await redis.set(f"worker:session:{worker.worker_id}", "s", ex=60)
        assert await redis.get(f"worker:session:{worker.worker_id}") == b"s"
        assert await redis.xadd(f"worker:po:{worker.worker_id}:output", {"data": "{}"})


@BOTH_SERVERS
async def test_a_user_that_is_revoked_is_cut_off_at_once(users: RedisUsers, redis_server: RunningRedis) -> None:
    worker = record()
    url = await users.grant(worker)
    async with client_of(url) as redis:
        assert await redis.ping()
        await users.revoke(worker.worker_id)
        assert await users.workers() == []
        with pytest.raises(AuthenticationError):
            await redis.ping()
    await users.revoke(worker.worker_id)


@BOTH_SERVERS
async def test_lost_users_of_live_workers_come_back_and_users_of_nobody_go(
    users: RedisUsers, redis_server: RunningRedis
) -> None:
    issuer = CredentialIssuer(FakeApi(), redis_server.url, users=users)
    live, gone = record(), record("run-2:worker:1")
    url = (await issuer.issue(live)).redis_url
    await issuer.issue(gone)
    await users.revoke(live.worker_id)  # as a Redis without its users does
    await issuer.compare([live])
    assert await users.workers() == sorted([live.worker_id, gone.worker_id])
    await issuer.compare([live])
    assert await users.workers() == [live.worker_id]
    async with client_of(url) as redis:
        assert await redis.ping()
