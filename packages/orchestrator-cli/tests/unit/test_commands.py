"""Every command: what it writes, what it says, how it fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.contracts.dto.infrastructure import IncidentCreate, ServerCreate
from shared.contracts.dto.work import RunCreate, TaskUpdate
from shared.contracts.topology import DEPLOY_QUEUE, ENGINEERING_QUEUE, PO_OUTPUT
from shared.contracts.vocabulary import IncidentSeverity, TaskStatus

Cli = Any  # the fixture's class lives in conftest.py, which is not importable


def published(cli: Cli, stream: Any) -> list[Any]:
    found: list[Any] = asyncio.run(cli.bus.messages(stream))
    return found


def test_project_create_with_a_task_writes_both_rows_and_one_message(cli: Cli) -> None:
    cli.configure(correlation_id="corr-1")
    code, answer = cli(
        *("project", "create", "--name", "guest-book", "--modules", "backend,frontend"),
        *("--task", "A guest book\nwith entries"),
    )
    assert code == 0
    assert answer["success"] is True
    project, task = answer["data"]["project"], answer["data"]["task"]
    assert answer["data"]["id"] == project["id"]
    assert project["modules"] == ["backend", "frontend"]
    assert (task["title"], task["description"]) == ("A guest book", "A guest book\nwith entries")
    (message,) = published(cli, ENGINEERING_QUEUE)
    assert (message.task_id, message.project_id, message.user_id) == (task["id"], project["id"], "user-1")
    assert message.correlation_id == "corr-1"


def test_project_create_without_a_task_publishes_nothing(cli: Cli) -> None:
    code, answer = cli("project", "create", "--name", "guest-book")
    assert (code, answer["data"]["name"]) == (0, "guest-book")
    assert published(cli, ENGINEERING_QUEUE) == []
    assert cli.api.tasks == {}


def test_the_same_command_in_the_same_turn_creates_nothing_twice(cli: Cli) -> None:
    command = ("project", "create", "--name", "guest-book", "--task", "Build it")
    (_, first), (_, second) = cli(*command), cli(*command)
    assert first["data"]["id"] == second["data"]["id"]
    assert first["data"]["task"]["id"] == second["data"]["task"]["id"]
    assert len({message.request_id for message in published(cli, ENGINEERING_QUEUE)}) == 1


def test_a_name_of_another_project_is_a_conflict(cli: Cli) -> None:
    cli("project", "create", "--name", "guest-book")
    cli.configure(request_id="chat:2")
    code, answer = cli("project", "create", "--name", "guest-book")
    assert (code, answer["error"]) == (5, "conflict")


@pytest.mark.parametrize("name", ["Guest Book", "a", "-x", "guest_book", "x" * 60, "9lives"])
def test_an_invalid_name_names_the_field_and_the_rule(cli: Cli, name: str) -> None:
    code, answer = cli("project", "create", f"--name={name}")
    assert (code, answer["success"], answer["error"]) == (2, False, "usage")
    assert answer["message"].startswith("name: ")
    assert "lower-case letters, digits and hyphens" in answer["message"]
    assert answer["details"]["errors"][0]["field"] == "name"
    assert cli.api.projects == {}


def test_an_unknown_module_is_named(cli: Cli) -> None:
    code, answer = cli("project", "create", "--name", "guest-book", "--modules", "backend,blockchain")
    assert code == 2
    assert answer["message"].startswith("modules: ")


def test_a_message_that_cannot_be_published_is_published_once_by_a_retry(cli: Cli) -> None:
    command = ("project", "create", "--name", "guest-book", "--task", "Build it")
    cli.bus.is_down = True
    code, answer = cli(*command)
    assert (code, answer["error"]) == (6, "unavailable")
    assert "a retry publishes it once" in answer["message"]
    assert answer["details"]["is_stored"] is True
    cli.bus.is_down = False
    code, answer = cli(*command)
    assert code == 0
    assert len(published(cli, ENGINEERING_QUEUE)) == 1
    assert (len(cli.api.projects), len(cli.api.tasks)) == (1, 1)


def test_projects_are_listed_and_found_by_id_or_name(cli: Cli) -> None:
    _, created = cli("project", "create", "--name", "guest-book", "--task", "Build it")
    _, listed = cli("project", "list")
    _, by_id = cli("project", "get", created["data"]["id"])
    _, by_name = cli("project", "get", "guest-book")
    _, tasks = cli("project", "tasks", "guest-book")
    assert [row["name"] for row in listed["data"]] == ["guest-book"]
    assert by_id["data"] == by_name["data"] == listed["data"][0]
    assert [row["title"] for row in tasks["data"]] == ["Build it"]


def test_what_does_not_exist_is_not_found(cli: Cli) -> None:
    for command in (("project", "get", "nothing"), ("engineering", "status", "nothing")):
        code, answer = cli(*command)
        assert (code, answer["error"]) == (3, "not_found")


def test_engineering_start_makes_a_task_of_an_existing_project(cli: Cli) -> None:
    cli("project", "create", "--name", "guest-book")
    code, answer = cli("engineering", "start", "--project", "guest-book", "--task", "Add search", "--title", "Search")
    assert (code, answer["data"]["title"], answer["data"]["type"]) == (0, "Search", "engineering")
    (message,) = published(cli, ENGINEERING_QUEUE)
    assert message.task_id == answer["data"]["id"]


def test_an_empty_task_is_refused(cli: Cli) -> None:
    cli("project", "create", "--name", "guest-book")
    code, answer = cli("engineering", "start", "--project", "guest-book", "--task", " ")
    assert (code, answer["message"]) == (2, "task: must say what is to be done")


def test_deploy_start_publishes_on_the_deploy_queue(cli: Cli) -> None:
    cli("project", "create", "--name", "guest-book")
    code, answer = cli("deploy", "start", "--project", "guest-book")
    assert (code, answer["data"]["type"]) == (0, "deploy")
    (message,) = published(cli, DEPLOY_QUEUE)
    assert message.task_id == answer["data"]["id"]
    assert published(cli, ENGINEERING_QUEUE) == []


def test_status_shows_the_task_and_its_latest_run(cli: Cli) -> None:
    _, created = cli("project", "create", "--name", "guest-book", "--task", "Build it")
    task_id = created["data"]["task"]["id"]
    assert cli("engineering", "status", task_id)[1]["data"]["run"] is None
    run = asyncio.run(cli.api.create_run(RunCreate(task_id=task_id, key="k")))
    _, answer = cli("engineering", "status", "--task", task_id)
    assert answer["data"]["run"]["id"] == run.id
    assert answer["data"]["status"] == "queued"


def test_a_task_of_the_other_kind_is_not_found(cli: Cli) -> None:
    _, created = cli("project", "create", "--name", "guest-book", "--task", "Build it")
    assert cli("deploy", "status", created["data"]["task"]["id"])[0] == 3


@pytest.mark.parametrize("status", [TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED])
def test_wait_returns_a_final_task(cli: Cli, status: TaskStatus) -> None:
    _, created = cli("project", "create", "--name", "guest-book", "--task", "Build it")
    task_id = created["data"]["task"]["id"]
    asyncio.run(cli.api.update_task(task_id, TaskUpdate(status=status)))
    code, answer = cli("engineering", "wait", "--task", task_id)
    assert (code, answer["data"]["status"]) == (0, status.value)


def test_a_wait_that_takes_too_long_has_its_own_exit_code(cli: Cli) -> None:
    _, created = cli("project", "create", "--name", "guest-book", "--task", "Build it")
    code, answer = cli("engineering", "wait", created["data"]["task"]["id"], "--timeout", "0.1")
    assert (code, answer["error"], answer["details"]["status"]) == (7, "timeout", "queued")


def test_a_command_without_its_task_is_a_usage_error(cli: Cli) -> None:
    code, answer = cli("deploy", "wait")
    assert (code, answer["details"]) == (2, {"field": "task"})


def test_infra_lists_servers_and_incidents(cli: Cli) -> None:
    asyncio.run(cli.api.create_server(ServerCreate(handle="local", host="127.0.0.1")))
    incident = IncidentCreate(key="k", title="t", severity=IncidentSeverity.LOW)
    asyncio.run(cli.api.open_incident(incident))
    assert [row["handle"] for row in cli("infra", "servers")[1]["data"]] == ["local"]
    assert [row["key"] for row in cli("infra", "incidents")[1]["data"]] == ["k"]


def test_respond_publishes_a_non_final_output_of_the_turn(cli: Cli) -> None:
    cli.configure(worker_id="w-1", correlation_id="corr-1")
    code, _ = cli("respond", "Working on it")
    cli("respond", "Still at it")
    assert code == 0
    first, second = published(cli, PO_OUTPUT.at("w-1"))
    assert (first.text, first.is_final, first.request_id, first.user_id) == ("Working on it", False, "chat:1", "user-1")
    assert first.correlation_id == "corr-1"
    assert first.sequence <= second.sequence


def test_respond_outside_a_worker_says_what_is_missing(cli: Cli) -> None:
    code, answer = cli("respond", "Hello")
    assert code == 2
    assert "WORKER_ID" in answer["message"]


def test_respond_without_redis_may_be_tried_again(cli: Cli) -> None:
    cli.configure(worker_id="w-1")
    cli.bus.is_down = True
    assert cli("respond", "Hello")[0] == 6


def test_diagnose_looks_at_api_redis_and_projects(cli: Cli) -> None:
    cli.configure(worker_id="w-1")
    cli("project", "create", "--name", "guest-book")
    assert cli("diagnose", "api")[1]["data"]["health"] == {"status": "ok"}
    streams = cli("diagnose", "redis")[1]["data"]["streams"]
    assert set(streams) == {"worker:po:w-1:input", "worker:po:w-1:output", "worker:developer:w-1:input"}
    assert cli("diagnose", "projects")[1]["data"]["projects"] == {"draft": 1}
    cli.bus.is_down = True
    assert cli("diagnose", "redis")[0] == 6


def test_the_schema_describes_every_command_with_its_permission(cli: Cli) -> None:
    _, answer = cli("schema")
    commands = {item["command"]: item for item in answer["data"]["commands"]}
    assert len(commands) == 17
    create = commands["orchestrator project create"]
    assert create["permission"] == "project.create"
    assert {"--name", "--description", "--modules", "--task"} == {item["name"] for item in create["parameters"]}
    assert answer["data"]["exit_codes"]["6"].startswith("unavailable")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["project"], ["project", "create"], ["project", "create", "--colour", "red"], []]
)
def test_wrong_usage_is_json_as_well(cli: Cli, arguments: list[str]) -> None:
    code, answer = cli(*arguments)
    assert (code, answer["success"], answer["error"]) == (2, False, "usage")
    assert answer["message"]
