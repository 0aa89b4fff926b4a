"""What the agents print around their answers."""

from __future__ import annotations

import json

import pytest

from shared.contracts.queues.workers import FailureCause
from shared.contracts.stages import Usage
from shared.contracts.vocabulary import ResultStatus
from worker_wrapper.envelope import PlainText, Unwrapper
from worker_wrapper.process import ChildOutcome, Deadlines, Ending
from worker_wrapper.turns import classify

FINAL = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "api_error_status": None,
    "num_turns": 3,
    "result": "done",
    "session_id": "s-1",
    "total_cost_usd": 9.9,
    "usage": {"input_tokens": 1, "output_tokens": 1},
    "modelUsage": {
        "large": {
            "inputTokens": 10,
            "outputTokens": 7,
            "cacheReadInputTokens": 3,
            "cacheCreationInputTokens": 2,
            "costUSD": 0.25,
        },
        "small": {"inputTokens": 5, "outputTokens": 1, "costUSD": 0.5},
    },
}
DEADLINES = Deadlines(total_seconds=60, start_seconds=5, idle_seconds=10)


def ended(code: int | None, ending: Ending = Ending.EXITED, stderr: str = "") -> ChildOutcome:
    return ChildOutcome(ending=ending, exit_code=code, stdout="", stderr_tail=stderr, duration_seconds=1.0)


def test_usage_is_the_sum_over_all_models_of_the_final_event() -> None:
    reader = Unwrapper()
    for event in ({"type": "system"}, {"type": "assistant"}, FINAL):
        reader.feed(json.dumps(event))
    report = reader.report("")
    assert report is not None
    assert report.usage == Usage(
        input_tokens=15, output_tokens=8, cache_read_tokens=3, cache_write_tokens=2, cost_usd=0.75, turns=3
    )
    assert (report.text, report.session_id) == ("done", "s-1")


def test_the_final_event_ends_the_turn_and_nothing_before_it_does() -> None:
    reader = Unwrapper()
    for line in ("not json", "{broken", '{"type": "assistant"}', "[1]", "{" * 50_000):
        reader.feed(line)
        assert not reader.is_done
    reader.feed(json.dumps(FINAL))
    assert reader.is_done


@pytest.mark.parametrize("stdout", [json.dumps(FINAL, indent=2), json.dumps([{"type": "system"}, FINAL])])
def test_one_json_document_is_read_as_well_as_lines(stdout: str) -> None:
    report = Unwrapper().report(stdout)
    assert report is not None
    assert report.text == "done"


def test_droids_usage_is_read_without_a_cost() -> None:
    usage = {"input_tokens": 40, "output_tokens": 20, "cache_read_input_tokens": 1, "factory_credits": 3}
    report = Unwrapper().report(json.dumps({"type": "result", "result": "x", "num_turns": 2, "usage": usage}))
    assert report is not None
    assert report.usage == Usage(input_tokens=40, output_tokens=20, cache_read_tokens=1, turns=2)


@pytest.mark.parametrize("stdout", ["", "plain words", "{}", "[]", "null", '{"type": "assistant"}'])
def test_without_a_final_event_there_is_no_report(stdout: str) -> None:
    assert Unwrapper().report(stdout) is None


def test_plain_commands_may_answer_with_text_but_not_with_nothing() -> None:
    report = PlainText().report("words\n")
    assert report is not None
    assert report.text == "words\n"
    assert PlainText().report(" \n") is None


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (401, FailureCause.AUTH_FAILED),
        (403, FailureCause.AUTH_FAILED),
        (404, FailureCause.AUTH_FAILED),
        (429, FailureCause.PROVIDER_LIMIT),
        (529, FailureCause.PROVIDER_LIMIT),
        (500, FailureCause.AGENT_ERROR),
        (None, FailureCause.AGENT_ERROR),
    ],
)
def test_the_providers_status_decides_the_cause_although_the_subtype_says_success(
    status: int | None, cause: FailureCause
) -> None:
    final = {**FINAL, "is_error": True, "api_error_status": status, "result": "API Error: no"}
    turn = classify(ended(1), Unwrapper().report(json.dumps(final)), DEADLINES)
    assert (turn.status, turn.cause) == (ResultStatus.ERROR, cause)
    assert turn.error == "API Error: no"
    assert turn.usage.input_tokens == 15


def test_a_subscription_limit_tells_when_it_ends() -> None:
    final = {**FINAL, "is_error": True, "api_error_status": 429, "result": "usage limit reached|1700000000"}
    turn = classify(ended(1), Unwrapper().report(json.dumps(final)), DEADLINES)
    assert turn.retry_at == "2023-11-14T22:13:20+00:00"


def test_exit_code_zero_without_an_answer_is_a_failure() -> None:
    turn = classify(ended(0), None, DEADLINES)
    assert (turn.status, turn.cause) == (ResultStatus.ERROR, FailureCause.AGENT_ERROR)


def test_a_killed_agent_is_a_crash_and_a_failing_one_is_not() -> None:
    killed = classify(ended(-9), None, DEADLINES)
    failed = classify(ended(3, stderr="boom"), None, DEADLINES)
    assert killed.cause is FailureCause.CRASH
    assert "SIGKILL" in (killed.error or "")
    assert failed.cause is FailureCause.AGENT_ERROR
    assert failed.error == "the agent ended with exit code 3\nboom"


@pytest.mark.parametrize(
    ("ending", "cause", "words"),
    [
        (Ending.START_DEADLINE, FailureCause.START_DEADLINE, "5 s"),
        (Ending.IDLE_DEADLINE, FailureCause.IDLE_DEADLINE, "10 s"),
        (Ending.TOTAL_DEADLINE, FailureCause.TOTAL_DEADLINE, "60 s"),
    ],
)
def test_a_missed_deadline_is_named(ending: Ending, cause: FailureCause, words: str) -> None:
    turn = classify(ended(-15, ending), None, DEADLINES)
    assert (turn.status, turn.cause) == (ResultStatus.TIMEOUT, cause)
    assert words in (turn.error or "")


def test_a_lingering_process_that_was_ended_after_its_answer_succeeded() -> None:
    turn = classify(ended(-15, Ending.FINISHED), Unwrapper().report(json.dumps(FINAL)), DEADLINES)
    assert turn.status is ResultStatus.SUCCESS


def test_a_lost_conversation_is_recognised() -> None:
    final = {"type": "result", "is_error": True, "errors": ["No conversation found with session ID: x"]}
    turn = classify(ended(1), Unwrapper().report(json.dumps(final)), DEADLINES)
    assert turn.lost_its_conversation
