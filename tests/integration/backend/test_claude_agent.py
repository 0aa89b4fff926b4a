"""Series 1: Claude Code as it is installed in a worker, and the command line it is given."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from shared.contracts.vocabulary import AuthMode, WorkerCapability
from tests.integration.backend.stack import Stack

# One group: a test ends the manager that the others talk to.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def worker_id(stack: Stack) -> Iterator[str]:
    """One worker for all tests of this file that only look."""
    created = stack.claude("project.*", capabilities=[WorkerCapability.GIT], instructions="You are series one.")
    yield created
    stack.delete(created)


def test_1_1_the_agent_is_installed(stack: Stack, worker_id: str) -> None:
    assert stack.said(worker_id, "claude", "--version").startswith("2.1.197")


@pytest.mark.usefixtures("cleanup_worker_containers")
def test_1_2_a_login_of_the_host_is_mounted(stack: Stack) -> None:
    with tempfile.TemporaryDirectory(prefix="claude-login-") as folder:
        login = Path(folder)
        login.chmod(0o755)
        (login / ".credentials.json").write_text('{"of": "a test"}')
        worker_id = stack.claude(
            capabilities=[WorkerCapability.GIT], auth_mode=AuthMode.HOST_SESSION, host_claude_dir=folder
        )
        assert "of" in stack.said(worker_id, "cat", "/home/worker/.claude/.credentials.json")
        assert stack.run(worker_id, "printenv", "ANTHROPIC_API_KEY")[0] != 0


def test_1_3_its_instructions_are_there(stack: Stack, worker_id: str) -> None:
    assert stack.said(worker_id, "cat", "/workspace/CLAUDE.md") == "You are series one."
    assert stack.said(worker_id, "stat", "-c", "%U", "/workspace/CLAUDE.md") == "worker"


def test_1_4_the_command_line_is_installed(stack: Stack, worker_id: str) -> None:
    assert stack.said(worker_id, "which", "orchestrator")


def test_1_5_a_valid_project_becomes_a_row(stack: Stack, worker_id: str) -> None:
    name = f"series-one-{uuid4().hex[:8]}"
    answer = json.loads(stack.said(worker_id, "orchestrator", "project", "create", "--name", name))
    assert answer["success"] is True
    assert name in stack.projects()


def test_1_6_an_invalid_project_is_refused_with_a_reason(stack: Stack, worker_id: str) -> None:
    code, output = stack.run(worker_id, "orchestrator", "project", "create", "--name", "Not A Name!")
    assert code != 0
    assert "name" in json.loads(output)["message"]


def test_1_7_projects_are_listed(stack: Stack, worker_id: str) -> None:
    name = f"series-one-{uuid4().hex[:8]}"
    stack.said(worker_id, "orchestrator", "project", "create", "--name", name)
    answer = json.loads(stack.said(worker_id, "orchestrator", "project", "list"))
    assert name in json.dumps(answer["data"])
