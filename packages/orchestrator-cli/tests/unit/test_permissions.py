"""Who may run what, and what the environment says."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_cli.errors import UsageFault
from orchestrator_cli.keys import idempotency_key, request_scope
from orchestrator_cli.permissions import is_allowed
from orchestrator_cli.settings import load_settings, parse_allowed

Cli = Any


@pytest.mark.parametrize(
    ("value", "patterns"),
    [
        (None, None),
        ("", ()),
        ("[]", ()),
        ('["project.*", "respond"]', ("project.*", "respond")),
        ("project.get, engineering.start", ("project.get", "engineering.start")),
    ],
)
def test_allowed_commands_are_a_json_list_or_a_comma_list(value: str | None, patterns: tuple[str, ...] | None) -> None:
    assert parse_allowed(value) == patterns


@pytest.mark.parametrize("value", ["[", "[1]"])
def test_a_list_that_is_none_is_refused_and_not_read_as_everything(value: str) -> None:
    with pytest.raises(UsageFault, match="ALLOWED_COMMANDS"):
        load_settings({"ALLOWED_COMMANDS": value})


@pytest.mark.parametrize(
    ("command", "patterns", "allowed"),
    [
        ("project.create", None, True),
        ("project.create", (), False),
        ("project.create", ("project.get",), False),
        ("project.create", ("project.*",), True),
        ("project.create", ("*",), True),
        ("respond", ("respond",), True),
        ("projects.create", ("project.*",), False),
    ],
)
def test_patterns_decide(command: str, patterns: tuple[str, ...] | None, allowed: bool) -> None:
    assert is_allowed(command, patterns) is allowed


def test_a_command_that_is_not_allowed_does_nothing(cli: Cli) -> None:
    cli.configure(allowed_commands=("project.get",))
    code, answer = cli("project", "create", "--name", "unauthorized")
    assert (code, answer["error"]) == (4, "permission_denied")
    assert "permission" in answer["message"]
    assert "not allowed" in answer["message"]
    assert cli.api.projects == {}


def test_a_project_is_not_created_when_its_task_may_not_be_started(cli: Cli) -> None:
    cli.configure(allowed_commands=("project.create",))
    code, _ = cli("project", "create", "--name", "guest-book", "--task", "Build it")
    assert code == 4
    assert cli.api.projects == {}
    assert cli("project", "create", "--name", "guest-book")[0] == 0


def test_keys_are_alike_for_one_request_and_only_there() -> None:
    first = idempotency_key("chat:1", "project.create", {"name": "a", "modules": ["backend"]})
    assert first == idempotency_key("chat:1", "project.create", {"modules": ["backend"], "name": "a"})
    assert first != idempotency_key("chat:2", "project.create", {"name": "a", "modules": ["backend"]})
    assert first != idempotency_key("chat:1", "project.create", {"name": "b", "modules": ["backend"]})
    assert request_scope(None) != request_scope(None)
    assert request_scope("chat:1") == "chat:1"
