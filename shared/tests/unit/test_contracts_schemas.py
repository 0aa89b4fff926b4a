"""Snapshots of every schema: a change that breaks an old reader is seen, and so is a stale page."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

import shared.contracts.dto
from shared.contracts.compatibility import Schema, breaking_changes
from shared.contracts.generate import REST_PREFIX, broken_contracts, check, current_schemas, main, stored_schemas
from shared.contracts.topology import TOPOLOGY
from shared.testing.model_strategies import models_below


def test_no_contract_breaks_the_readers_of_its_snapshot() -> None:
    assert broken_contracts(stored_schemas(), current_schemas()) == []


def test_snapshots_and_page_are_up_to_date() -> None:
    assert check() == []
    assert main(["--check"]) == 0


def test_every_stream_and_every_rest_body_has_a_snapshot() -> None:
    stored = stored_schemas()
    assert len([name for name in stored if not name.startswith(REST_PREFIX)]) == len(TOPOLOGY) + 1
    kept = {name for file, schema in stored.items() if file.startswith(REST_PREFIX) for name in schema["$defs"]}
    assert {model.__name__ for model in models_below(shared.contracts.dto)} <= kept


def test_a_stream_that_disappears_is_a_break() -> None:
    assert broken_contracts(stored_schemas(), {}) != []


def _edit(path: str, value: Any) -> Callable[[Schema], None]:
    def apply(schema: Schema) -> None:
        target: Any = schema
        *parents, last = path.split("/")
        for part in parents:
            target = target[part]
        if value is None:
            del target[last]
        else:
            target[last] = value

    return apply


def _require(name: str) -> Callable[[Schema], None]:
    def apply(schema: Schema) -> None:
        schema["properties"].setdefault(name, {"type": "string"})
        schema["required"] = [*schema["required"], name]

    return apply


BREAKS: list[tuple[str, Callable[[Schema], None], str]] = [
    ("engineering.queue.json", _edit("properties/task_id", None), "task_id"),
    ("engineering.queue.json", _edit("properties/task_id/type", "integer"), "task_id"),
    ("engineering.queue.json", _edit("required", ["task_id"]), "project_id"),
    ("engineering.queue.json", _require("priority"), "priority"),
    ("engineering.queue.json", _edit("properties/version/const", "2"), "version"),
    ("run.events.json", _edit("$defs/TaskType/enum", ["engineering"]), "deploy"),
    ("run.events.json", _edit("$defs/TaskType/enum", ["engineering", "deploy", "audit"]), "audit"),
    ("worker.commands.json", lambda schema: schema["oneOf"].pop(), "StatusWorkerCommand"),
    ("scaffolder.queue.json", _edit("properties/modules/items/$ref", "#/$defs/Other"), "Other"),
]


@pytest.mark.parametrize(("name", "edit", "named"), BREAKS)
def test_a_change_that_breaks_a_reader_is_named(name: str, edit: Callable[[Schema], None], named: str) -> None:
    old = current_schemas()[name]
    new = copy.deepcopy(old)
    new.setdefault("$defs", {})["Other"] = {"type": "integer", "title": "Other"}
    edit(new)
    changes = breaking_changes(old, new)
    assert changes
    assert named in "".join(changes) or "integer" in "".join(changes)


def test_a_new_optional_field_breaks_nobody() -> None:
    old = current_schemas()["engineering.queue.json"]
    new = copy.deepcopy(old)
    new["properties"]["priority"] = {"type": "integer", "default": 0}
    assert breaking_changes(old, new) == []


def test_dropping_an_optional_field_breaks_nobody() -> None:
    old = current_schemas()["engineering.queue.json"]
    new = copy.deepcopy(old)
    del new["properties"]["callback_stream"]
    assert breaking_changes(old, new) == []


REST_BREAKS: list[tuple[str, Callable[[Schema], None], str]] = [
    ("rest.work.json", _edit("$defs/RunDTO", None), "RunDTO: the body is gone"),
    ("rest.work.json", _edit("$defs/RunDTO/properties/state", None), "RunDTO: state"),
    ("rest.work.json", _edit("$defs/RunCancel/properties/reason/type", "integer"), "RunCancel: reason"),
    ("rest.work.json", _edit("$defs/RunFacts/properties/branch", None), "RunFacts.branch: older clients may send it"),
    ("rest.accounts.json", _edit("$defs/UserUpsert/required", ["telegram_id", "name"]), "UserUpsert: name: required"),
]


@pytest.mark.parametrize(("name", "edit", "named"), REST_BREAKS)
def test_a_change_that_breaks_an_older_client_is_named(name: str, edit: Callable[[Schema], None], named: str) -> None:
    old = current_schemas()
    new = copy.deepcopy(old)
    edit(new[name])
    assert named in "\n".join(broken_contracts(old, new))


def test_what_clients_only_read_may_gain_fields() -> None:
    old = current_schemas()
    new = copy.deepcopy(old)
    new["rest.work.json"]["$defs"]["RunDTO"]["properties"]["mood"] = {"type": "string"}
    assert broken_contracts(old, new) == []
