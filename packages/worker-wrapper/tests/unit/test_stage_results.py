"""Results by stage, the words of the second chance, and what tests print."""

from __future__ import annotations

import json

import pytest

from shared.contracts.stages import TestCounts
from shared.contracts.vocabulary import Stage
from worker_wrapper.project_tests import parse_counts, parse_failures
from worker_wrapper.stage_results import read_result, repair_prompt


def block(value: object) -> str:
    return f"Here it is.\n<result>{json.dumps(value)}</result>"


def test_a_valid_plan_becomes_a_verdict() -> None:
    reading = read_result(Stage.PLAN, block({"summary": "s", "steps": ["a"], "status": "success"}))
    assert reading.problem is None
    assert reading.verdict is not None
    assert reading.verdict.summary == "s"
    assert reading.verdict.data["steps"] == ["a"]
    assert "status" not in reading.verdict.data


def test_a_code_result_is_handed_on_as_such() -> None:
    reading = read_result(Stage.CODE, block({"summary": "s", "commit_message": "m"}))
    assert reading.code is not None
    assert reading.code.commit_message == "m"


@pytest.mark.parametrize(
    ("stage", "text", "words"),
    [
        (Stage.PLAN, "no block", "no complete <result> block"),
        (Stage.PLAN, "<result>{", "no complete <result> block"),
        (Stage.PLAN, "<result>nonsense</result>", "not JSON"),
        (Stage.PLAN, block({"summary": "s"}), "steps"),
        (Stage.CODE, block({"summary": "s"}), "commit_message"),
        (Stage.REVIEW, block({"approved": "perhaps", "summary": "s"}), "approved"),
        (Stage.FREE, "<result>nonsense</result>", "not JSON"),
    ],
)
def test_a_problem_names_what_is_missing(stage: Stage, text: str, words: str) -> None:
    reading = read_result(stage, text)
    assert reading.verdict is None
    assert words in (reading.problem or "")


def test_a_free_prompt_may_be_answered_in_prose() -> None:
    reading = read_result(Stage.FREE, "Just words.")
    assert reading.verdict is not None
    assert reading.verdict.summary == "Just words."


def test_a_free_result_keeps_its_own_status_and_data() -> None:
    reading = read_result(Stage.FREE, block({"status": "failure", "summary": "s", "project_id": "p"}))
    assert reading.verdict is not None
    assert reading.verdict.status == "failure"
    assert reading.verdict.data["project_id"] == "p"


def test_the_repair_prompt_holds_stage_problem_schema_and_the_last_answer() -> None:
    prompt = repair_prompt(Stage.REVIEW, "approved: missing", "what I said")
    assert prompt.startswith("[stage:review]\n")
    assert "approved: missing" in prompt
    assert '"findings"' in prompt
    assert prompt.endswith("what I said")


@pytest.mark.parametrize(
    ("lines", "counts"),
    [
        (["===== 3 passed, 1 failed, 2 skipped in 0.12s ====="], TestCounts(passed=3, failed=1, skipped=2)),
        (["12 passed in 3.45s"], TestCounts(passed=12)),
        (["1 error in 0.1s"], TestCounts(errors=1)),
        (["=== 2 passed in 61.00s (0:01:01) ===", "=== 1 failed, 4 passed in 1s ==="], TestCounts(passed=6, failed=1)),
        (["2 passed the door in haste"], None),
        (["no tests ran in 0.01s"], None),
        ([], None),
    ],
)
def test_counts_are_read_from_every_summary_line(lines: list[str], counts: TestCounts | None) -> None:
    assert parse_counts(lines) == counts


def test_failures_are_the_short_summary_lines() -> None:
    lines = ["FAILED tests/test_a.py::test_x - assert 1 == 2", "noise", "ERROR tests/test_b.py", "FAILEDx"]
    assert parse_failures(lines) == [lines[0], lines[2]]
