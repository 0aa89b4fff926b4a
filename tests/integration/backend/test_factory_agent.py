"""Series 2: Droid as it is installed in a worker, and the command line it is given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest

from shared.contracts.vocabulary import WorkerCapability
from tests.integration.backend.stack import Stack

# One group: a test ends the manager that the others talk to.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def worker_id(stack: Stack) -> Iterator[str]:
    """One worker for all tests of this file."""
    created = stack.factory("project.*", capabilities=[WorkerCapability.CURL], instructions="You are series two.")
    yield created
    stack.delete(created)


def test_2_1_the_agent_is_installed(stack: Stack, worker_id: str) -> None:
    assert "0.215.0" in stack.said(worker_id, "droid", "--version")


def test_2_2_its_key_is_set(stack: Stack, worker_id: str) -> None:
    assert stack.said(worker_id, "printenv", "FACTORY_API_KEY") == "fk-of-a-test"


def test_2_3_its_instructions_are_there_and_no_others(stack: Stack, worker_id: str) -> None:
    assert stack.said(worker_id, "cat", "/workspace/AGENTS.md") == "You are series two."
    assert stack.run(worker_id, "cat", "/workspace/CLAUDE.md")[0] != 0


def test_2_4_the_command_line_is_installed(stack: Stack, worker_id: str) -> None:
    assert stack.said(worker_id, "which", "orchestrator")


def test_2_5_a_valid_project_becomes_a_row(stack: Stack, worker_id: str) -> None:
    name = f"series-two-{uuid4().hex[:8]}"
    assert json.loads(stack.said(worker_id, "orchestrator", "project", "create", "--name", name))["success"] is True
    assert name in stack.projects()


def test_2_6_an_invalid_project_is_refused_with_a_reason(stack: Stack, worker_id: str) -> None:
    code, output = stack.run(worker_id, "orchestrator", "project", "create", "--name", "Not A Name!")
    assert code != 0
    assert "name" in json.loads(output)["message"]


def test_2_7_projects_are_listed(stack: Stack, worker_id: str) -> None:
    name = f"series-two-{uuid4().hex[:8]}"
    stack.said(worker_id, "orchestrator", "project", "create", "--name", name)
    assert name in stack.said(worker_id, "orchestrator", "project", "list")


def test_droid_takes_a_turn_with_a_command_in_its_container(stack: Stack, worker_id: str) -> None:
    write = (
        'mkdir -p ~/.factory && printf \'{"customModels": [{"model": "mock", "id": "custom:mock-0", "index": 0,'
        ' "displayName": "mock", "baseUrl": "%s", "apiKey": "%s", "provider": "anthropic"}]}\''
        ' "$ANTHROPIC_BASE_URL" "$MODEL_KEY" >~/.factory/settings.json'
    )
    stack.said(worker_id, "env", f"MODEL_KEY={stack.model_key}", "sh", "-c", write)
    turn = ["droid", "exec", "-o", "json", "-m", "custom:mock-0", "--skip-permissions-unsafe", "say where you are"]
    answer = json.loads(stack.said(worker_id, *turn))
    assert (answer["is_error"], answer["result"]) == (False, "I am in the workspace."), answer
