"""The engine's events: whose container died, and what follows. The raw Redis client is a mock, as it is not ours."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest
from fakeredis import FakeAsyncRedis

from shared.contracts.queues.workers import DeveloperWorkerOutput, FailureCause
from shared.contracts.topology import DEVELOPER_OUTPUT
from shared.redis.client import RedisStreamClient
from worker_manager.events import DockerEventsListener, worker_of


class TestDockerEventsListener:
    async def test_detects_worker_container_die_event(self) -> None:
        """Should detect when worker container dies."""
        mock_redis = MagicMock()
        mock_redis.hset = AsyncMock()
        mock_redis.hgetall = AsyncMock(return_value={"task_id": "task-123", "request_id": "req-123"})

        listener = DockerEventsListener(mock_redis)
        await listener._handle_event(
            {
                "Type": "container",
                "Action": "die",
                "Actor": {"Attributes": {"name": "worker-test-123", "exitCode": "137"}},
            }
        )

        mock_redis.hset.assert_called()
        assert mock_redis.hset.call_args[0][0] == "worker:status:test-123"
        assert mock_redis.hset.call_args[1]["mapping"]["status"] == "FAILED"

    async def test_ignores_non_worker_containers(self) -> None:
        """Should ignore containers not matching worker-* pattern."""
        mock_redis = MagicMock()
        mock_redis.hset = AsyncMock()

        listener = DockerEventsListener(mock_redis)
        await listener._handle_event(
            {"Type": "container", "Action": "die", "Actor": {"Attributes": {"name": "postgres", "exitCode": "0"}}}
        )

        mock_redis.hset.assert_not_called()

    async def test_publishes_failure_to_output_queue(self) -> None:
        """On crash, should publish DeveloperWorkerOutput to output queue."""
        mock_redis = MagicMock()
        mock_redis.xadd = AsyncMock()
        mock_redis.hgetall = AsyncMock(
            return_value={"task_id": "task-123", "request_id": "req-123", "worker_type": "developer"}
        )

        listener = DockerEventsListener(mock_redis)
        await listener._handle_event(
            {
                "Type": "container",
                "Action": "die",
                "Actor": {"Attributes": {"name": "worker-crash-test", "exitCode": "137"}},
            }
        )

        mock_redis.xadd.assert_called_once()
        call_args = mock_redis.xadd.call_args
        assert call_args[0][0] == "worker:developer:output"


def event(action: str, worker: str = "w1", **attributes: str) -> dict[str, Any]:
    return {"Type": "container", "Action": action, "Actor": {"Attributes": {"name": f"worker-{worker}", **attributes}}}


async def outputs(redis: FakeAsyncRedis) -> list[DeveloperWorkerOutput]:
    return [output for _, output in await RedisStreamClient(redis).read(DEVELOPER_OUTPUT)]


async def working(redis: FakeAsyncRedis) -> None:
    fields = {
        "status": "RUNNING",
        "worker_type": "developer",
        "request_id": "r1:code:1",
        "task_id": "t1",
        "run_id": "r1",
        "fence": "3",
        "stage": "code",
    }
    for name, value in fields.items():
        await redis.hset("worker:status:w1", name, value)


async def test_a_repeated_event_makes_one_output() -> None:
    redis = FakeAsyncRedis(protocol=2)
    await working(redis)
    listener = DockerEventsListener(redis)
    for _ in range(3):
        await listener._handle_event(event("die", exitCode="137"))
    (output,) = await outputs(redis)
    assert (output.request_id, output.task_id, output.run_id, output.fence) == ("r1:code:1", "t1", "r1", 3)
    assert output.status == "failed"
    assert "killed" in (output.error or "")
    assert output.cause is FailureCause.CRASH


async def test_out_of_memory_is_named_only_when_it_was_that() -> None:
    redis = FakeAsyncRedis(protocol=2)
    await working(redis)
    listener = DockerEventsListener(redis)
    await listener._handle_event(event("oom"))
    await listener._handle_event(event("die", exitCode="137"))
    (output,) = await outputs(redis)
    assert output.cause is FailureCause.OOM


async def test_a_child_out_of_memory_does_not_explain_another_exit_code() -> None:
    redis = FakeAsyncRedis(protocol=2)
    await working(redis)
    listener = DockerEventsListener(redis)
    await listener._handle_event(event("oom"))
    await listener._handle_event(event("die", exitCode="7"))
    (output,) = await outputs(redis)
    assert (output.cause, output.exit_code) == (FailureCause.CRASH, 7)
    assert "exit code 7" in (output.error or "")


async def test_exit_zero_is_no_failure() -> None:
    redis = FakeAsyncRedis(protocol=2)
    await working(redis)
    await DockerEventsListener(redis)._handle_event(event("die", exitCode="0"))
    assert await outputs(redis) == []
    assert await redis.hget("worker:status:w1", "status") == b"COMPLETED"


async def test_an_unknown_worker_is_logged_and_nothing_is_written() -> None:
    redis = FakeAsyncRedis(protocol=2)
    await DockerEventsListener(redis)._handle_event(event("die", exitCode="1"))
    assert await redis.keys() == []


@pytest.mark.parametrize(
    ("attributes", "worker"),
    [
        ({"name": "anything", "codegen.worker.id": "w9"}, "w9"),
        ({"name": "worker-w9", "image": "i", "exitCode": "1"}, "w9"),
        ({"name": "worker-manager-1"}, None),
        ({"name": "worker-w9", "com.example.other": "labels of somebody else"}, None),
        ({}, None),
    ],
)
def test_our_containers_are_known_by_label_or_by_name_where_there_are_no_labels(
    attributes: dict[str, str], worker: str | None
) -> None:
    assert worker_of(attributes) == worker
