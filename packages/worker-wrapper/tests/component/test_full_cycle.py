"""Redis input → agent process → Redis output, with a real child and an in-memory Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis

from shared.contracts.queues.workers import DeveloperWorkerInput, DeveloperWorkerOutput
from worker_wrapper.wrapper import WorkerWrapper


def FakeRedis() -> Any:
    """Return an in-memory Redis that answers text, as the assertions below read it."""
    return FakeAsyncRedis(decode_responses=True)


@pytest.fixture
def mock_agent_script(tmp_path: Path) -> str:
    """Create mock agent that returns scripted response."""
    script = tmp_path / "mock_claude.py"
    script.write_text("""
import sys
print("Processing task...")
print("<result>")
print('{"status": "success", "summary": "Task completed"}')
print("</result>")
sys.exit(0)
    """)
    return str(script)


class TestWrapperFullCycle:
    async def test_full_message_cycle(self, mock_agent_script: str) -> None:
        """Test: Redis input → Agent → Redis output."""
        redis = FakeRedis()

        # Push input message
        await redis.xadd(
            "worker:developer:input",
            {
                "data": DeveloperWorkerInput(
                    request_id="req-1", task_id="task-1", project_id="proj-1", prompt="Create hello.py"
                ).model_dump_json()
            },
        )

        # Run wrapper with mock agent
        wrapper = WorkerWrapper(
            redis=redis,
            worker_id="worker-test",
            worker_type="developer",
            agent_command=f"python {mock_agent_script}",
        )
        await wrapper.process_one_message()

        # Verify output
        messages = await redis.xrange("worker:developer:output", "-", "+")
        assert len(messages) == 1

        result = DeveloperWorkerOutput.model_validate_json(messages[0][1]["data"])
        assert result.status == "success"
        assert result.request_id == "req-1"

    async def test_timeout_kills_agent(self, tmp_path: Path) -> None:
        """Agent exceeding timeout should be killed."""
        # Create agent that sleeps forever
        script = tmp_path / "slow_agent.py"
        script.write_text("import time; time.sleep(60)")

        redis = FakeRedis()
        await redis.xadd(
            "worker:developer:input",
            {
                "data": DeveloperWorkerInput(
                    request_id="req-2", task_id="task-2", project_id="proj-2", prompt="Do something", timeout=1
                ).model_dump_json()
            },
        )

        wrapper = WorkerWrapper(
            redis=redis,
            worker_id="worker-test",
            worker_type="developer",
            agent_command=f"python {script}",
        )
        await wrapper.process_one_message()

        messages = await redis.xrange("worker:developer:output", "-", "+")
        result = DeveloperWorkerOutput.model_validate_json(messages[0][1]["data"])
        assert result.status == "timeout"

    async def test_agent_crash_returns_error(self, tmp_path: Path) -> None:
        """Agent crash should return error status."""
        script = tmp_path / "crash_agent.py"
        script.write_text("import sys; print('Error!', file=sys.stderr); sys.exit(1)")

        redis = FakeRedis()
        await redis.xadd(
            "worker:developer:input",
            {
                "data": DeveloperWorkerInput(
                    request_id="req-3", task_id="task-3", project_id="proj-3", prompt="Crash"
                ).model_dump_json()
            },
        )

        wrapper = WorkerWrapper(
            redis=redis,
            worker_id="worker-test",
            worker_type="developer",
            agent_command=f"python {script}",
        )
        await wrapper.process_one_message()

        messages = await redis.xrange("worker:developer:output", "-", "+")
        result = DeveloperWorkerOutput.model_validate_json(messages[0][1]["data"])
        assert result.status == "error"
        assert result.error is not None
        assert "Error!" in result.error
