"""Reading workflow files, their triggers and inputs."""

import pytest

from emulators.github.dispatch_inputs import checked_inputs
from emulators.github.errors import Unprocessable, WorkflowError
from emulators.github.runner.triggers import Triggers, glob_matches, parse_triggers
from emulators.github.runner.workflow import parse_workflow, triggers_of
from emulators.github.runner.yaml_loader import load_yaml

JOB = "jobs:\n  a:\n    runs-on: x\n    steps:\n      - run: make test\n"


def triggers(text: str) -> Triggers:
    document = load_yaml(text)
    assert isinstance(document, dict)
    return parse_triggers(document["on"])


def test_only_true_and_false_are_booleans_in_a_workflow_file() -> None:
    assert load_yaml("on: yes\na: off\nb: true\nc: 010\nd: 12\ne: 1.10\nf: 2024-01-01\ng: 12:30\nh:\n") == {
        "on": "yes", "a": "off", "b": True, "c": "010", "d": 12, "e": 1.1, "f": "2024-01-01", "g": "12:30", "h": None,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2\n", "a: !!python/object:os.system {}", "\t- x", "? [1]\n: 2"])
def test_what_is_not_plain_yaml_is_refused(text: str) -> None:
    with pytest.raises(WorkflowError):
        load_yaml(text)


def test_a_workflow_becomes_jobs_and_steps_with_defaults() -> None:
    text = """
name: CI
on: [push, pull_request]
defaults: {run: {working-directory: app}}
permissions: {contents: write}
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - {id: t, run: "make\\nall", timeout-minutes: 3}
  deploy:
    needs: build
    runs-on: ubuntu-latest
    defaults: {run: {shell: sh}}
    permissions: read-all
    steps: [{run: make}]
"""
    workflow = parse_workflow("ci.yml", text)
    build, deploy = workflow.jobs
    assert [step.title for step in build.steps] == ["Run actions/checkout@v4", "Run make"]
    assert (deploy.needs, deploy.defaults.shell, deploy.defaults.working_directory) == (("build",), "sh", "app")
    assert build.permissions == {"metadata": "read", "contents": "write"}
    assert deploy.permissions["actions"] == "read"
    assert build.timeout_minutes == 360


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must be a mapping"),
        ("name: x\n" + JOB, "No event triggers"),
        ("on: push\n", "No jobs defined"),
        ("on: push\njobs: {}\n", "No jobs defined"),
        ("on: push\nservices: {}\n" + JOB, "does not support: services"),
        ("on: pushh\n" + JOB, "Unexpected value 'pushh'"),
        ("on: push\n" + JOB.replace("    runs-on: x\n", ""), "missing: runs-on"),
        ("on: push\n" + JOB.replace("runs-on: x", "runs-on: x\n    strategy: {}"), "does not support: strategy"),
        ("on: push\n" + JOB.replace("runs-on: x", "runs-on: x\n    needs: b"), "unknown job 'b'"),
        ("on: push\n" + JOB.replace("runs-on: x", "runs-on: x\n    needs: a"), "need each other"),
        ("on: push\n" + JOB.replace("run: make test", "shell: bash"), "either run or uses"),
        ("on: push\n" + JOB.replace("run: make test", "run: x\n        uses: y@v1"), "either run or uses"),
        ("on: push\n" + JOB.replace("run: make test", "run: x\n        shell: pwsh"), "no shell 'pwsh'"),
        ("on: push\n" + JOB.replace("make test", "echo ${{ github. }}"), "Unexpected end"),
        ("on: push\n" + JOB.replace("make test", "echo ${{ github"), "not closed"),
        ("on: push\n" + JOB.replace("run: make test", "run: x\n        if: a b"), "Unexpected symbol"),
        ("on: push\njobs:\n  a: {runs-on: x, steps: []}\n", "at least one step"),
        ("on: push\nconcurrency: {}\n" + JOB, "missing: group"),
    ],
)
def test_a_file_that_cannot_run_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(WorkflowError, match=reason):
        parse_workflow("ci.yml", text)


def test_triggers_are_found_in_a_file_that_is_broken_elsewhere() -> None:
    found = triggers_of("on: push\njobs: {}\n")
    assert found is not None
    assert found.push is not None
    assert triggers_of("on: [\n") is None


@pytest.mark.parametrize(
    ("patterns", "name", "matches"),
    [
        (["main"], "main", True),
        (["main"], "main2", False),
        (["feature/*"], "feature/a", True),
        (["feature/*"], "feature/a/b", False),
        (["feature/**"], "feature/a/b", True),
        (["**"], "any/thing", True),
        (["**/docs/**"], "docs/a.md", True),
        (["v[12].*"], "v2.0", True),
        (["release-?"], "release", True),
        (["*", "!old"], "old", False),
        (["*", "!old", "old"], "old", True),
        (["a.b"], "axb", False),
    ],
)
def test_globs_match_as_filters_do(patterns: list[str], name: str, matches: bool) -> None:
    assert glob_matches(patterns, name) is matches


def test_a_push_filter_looks_at_branches_and_tags() -> None:
    push = triggers("on: {push: {branches: [main, 'release/**']}}").push
    assert push is not None
    assert push.accepts("refs/heads/release/1/2")
    assert not push.accepts("refs/heads/other")
    assert not push.accepts("refs/tags/v1")
    tags = triggers("on: {push: {tags: ['v*']}}").push
    assert tags is not None
    assert tags.accepts("refs/tags/v1")
    assert not tags.accepts("refs/heads/main")
    paths = triggers("on: {push: {paths-ignore: ['**.md']}}").push
    assert paths is not None
    assert not paths.paths.accept_any(["README.md", "docs/x.md"])
    assert paths.paths.accept_any(["README.md", "a.py"])


def test_a_pull_request_filter_looks_at_action_and_base() -> None:
    pull = triggers("on: {pull_request: {branches-ignore: [old]}}").pull_request
    assert pull is not None
    assert pull.accepts("synchronize", "main")
    assert not pull.accepts("closed", "main")
    assert not pull.accepts("opened", "old")


@pytest.mark.parametrize(
    "text",
    [
        "on: {push: {branches: [a], branches-ignore: [b]}}",
        "on: {push: {types: [x]}}",
        "on: {pull_request: {types: [assigned]}}",
        "on: {pull_request: {branches: ['[']}}",
        "on: {workflow_dispatch: {inputs: {a: {type: choice}}}}",
        "on: {workflow_dispatch: {inputs: {a: {type: date}}}}",
        "on: 5",
    ],
)
def test_filters_that_cannot_be_honoured_are_refused(text: str) -> None:
    with pytest.raises(WorkflowError):
        triggers(text)


INPUTS = """
on:
  workflow_dispatch:
    inputs:
      correlation: {required: true}
      dry: {type: boolean}
      target: {type: choice, options: [staging, production]}
      note: {default: none}
"""


def test_inputs_get_their_types_and_defaults() -> None:
    declared = triggers(INPUTS).dispatch
    assert declared is not None
    assert checked_inputs(declared, {"correlation": 7, "dry": "true"}) == {
        "correlation": "7", "dry": True, "target": "staging", "note": "none",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "Required input 'correlation' not provided"),
        ({"correlation": ""}, "Required input 'correlation' not provided"),
        ({"correlation": "x", "other": 1}, 'Unexpected inputs provided: \\["other"\\]'),
        ({"correlation": "x", "dry": "maybe"}, "is not a boolean"),
        ({"correlation": "x", "target": "moon"}, "not in the list of allowed values"),
    ],
)
def test_bad_inputs_are_refused_in_github_s_words(given: dict[str, object], message: str) -> None:
    declared = triggers(INPUTS).dispatch
    assert declared is not None
    with pytest.raises(Unprocessable, match=message):
        checked_inputs(declared, given)
