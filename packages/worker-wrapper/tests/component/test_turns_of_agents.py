"""What a wrapper makes of agents that fail, linger, forget, hang, or are asked twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.queues.workers import (
    DeveloperWorkerInput,
    DeveloperWorkerOutput,
    FailureCause,
    POWorkerInput,
    POWorkerOutput,
    WorkerLifecycleEvent,
)
from shared.contracts.vocabulary import AgentType, ResultStatus, Stage, WorkerType
from worker_wrapper.settings import Limits
from worker_wrapper.wrapper import WorkerWrapper

MakeWrapper = Callable[..., WorkerWrapper]


async def ask(redis: Any, wrapper: WorkerWrapper, **changes: Any) -> DeveloperWorkerOutput:
    known: dict[str, Any] = {
        "request_id": "r-1",
        "task_id": "task-1",
        "project_id": "project-1",
        "stage": Stage.PLAN,
        "prompt": "[stage:plan]\nPlan it",
    }
    message = DeveloperWorkerInput(**{**known, **changes})
    await redis.xadd("worker:developer:input", {"data": message.model_dump_json()})
    assert await wrapper.process_one_message()
    return (await outputs(redis))[-1]


async def outputs(redis: Any) -> list[DeveloperWorkerOutput]:
    entries = await redis.xrange("worker:developer:output", "-", "+")
    return [DeveloperWorkerOutput.model_validate_json(fields["data"]) for _, fields in entries]


async def chat(redis: Any, wrapper: WorkerWrapper, request_id: str, prompt: str) -> POWorkerOutput:
    message = POWorkerInput(request_id=request_id, user_id="user-1", prompt=prompt)
    await redis.xadd("worker:po:w-1:input", {"data": message.model_dump_json()})
    assert await wrapper.process_one_message()
    entries = await redis.xrange("worker:po:w-1:output", "-", "+")
    return POWorkerOutput.model_validate_json(entries[-1][1]["data"])


async def test_a_missing_result_gets_one_more_turn_in_the_same_conversation(
    redis: Any, make_wrapper: MakeWrapper
) -> None:
    usage = {"input_tokens": 5, "output_tokens": 1}
    wrapper = make_wrapper(
        [
            {"match": "could not be read", "result": {"summary": "s", "steps": ["a"]}, "usage": usage},
            {"match": "stage:plan", "text": "I forgot the block", "usage": usage},
        ]
    )
    output = await ask(redis, wrapper)
    assert output.status is ResultStatus.SUCCESS
    assert output.usage.input_tokens == 10
    assert output.session_id


async def test_a_result_that_is_missing_twice_is_an_error_that_quotes_what_came(
    redis: Any, make_wrapper: MakeWrapper
) -> None:
    output = await ask(redis, make_wrapper([{"match": "stage:plan", "text": "I will not"}]))
    assert (output.status, output.cause) == (ResultStatus.ERROR, FailureCause.NO_RESULT)
    assert "I will not" in (output.error or "")


@pytest.mark.parametrize(
    ("rule", "status", "cause"),
    [
        ({"silent": True}, ResultStatus.ERROR, FailureCause.AGENT_ERROR),
        ({"exit_code": 4, "stderr": "boom"}, ResultStatus.ERROR, FailureCause.AGENT_ERROR),
        ({"is_error": True, "api_error_status": 401, "text": "no"}, ResultStatus.ERROR, FailureCause.AUTH_FAILED),
        ({"is_error": True, "api_error_status": 529, "text": "no"}, ResultStatus.ERROR, FailureCause.PROVIDER_LIMIT),
        ({"hang": True}, ResultStatus.TIMEOUT, FailureCause.START_DEADLINE),
        ({"delay_seconds": 60}, ResultStatus.TIMEOUT, FailureCause.IDLE_DEADLINE),
    ],
)
async def test_failures_of_the_agent_are_named(
    redis: Any, make_wrapper: MakeWrapper, rule: dict[str, Any], status: ResultStatus, cause: FailureCause
) -> None:
    limits = Limits(start_seconds=0.8, idle_seconds=1.2, linger_seconds=0.2, kill_grace_seconds=0.3)
    wrapper = make_wrapper([{"match": "", **rule}], limits=limits)
    output = await ask(redis, wrapper)
    assert (output.status, output.cause) == (status, cause)
    assert output.error


async def test_a_missing_agent_program_is_an_error_and_not_the_end_of_the_worker(
    redis: Any, make_wrapper: MakeWrapper
) -> None:
    wrapper = make_wrapper(agent_type=AgentType.FACTORY, environ={"PATH": "/nowhere"})
    output = await ask(redis, wrapper)
    assert output.cause is FailureCause.AGENT_ERROR
    assert "droid could not be started" in (output.error or "")


async def test_an_answer_counts_although_the_process_lingers(redis: Any, make_wrapper: MakeWrapper) -> None:
    rule = {"match": "", "result": {"summary": "s", "steps": ["a"]}, "linger_seconds": 60}
    output = await ask(redis, make_wrapper([rule]))
    assert output.status is ResultStatus.SUCCESS
    assert (output.duration_ms or 0) < 10_000


async def test_a_repeated_request_is_answered_again_without_the_agent(
    redis: Any, make_wrapper: MakeWrapper, tmp_path: Path
) -> None:
    rule = {"match": "", "append": {str(tmp_path / "runs"): "x"}, "result": {"summary": "s", "steps": ["a"]}}
    first = await ask(redis, make_wrapper([rule]), fence=1, attempt_token="a")
    # Another life of the same worker: what it knows is on its disk.
    second = await ask(redis, make_wrapper([rule]), fence=2, attempt_token="b")
    assert (tmp_path / "runs").read_text() == "x"
    assert second.verdict == first.verdict
    assert (second.fence, second.attempt_token) == (2, "b")


async def test_ids_of_the_request_are_in_the_answer(redis: Any, make_wrapper: MakeWrapper) -> None:
    given = {"run_id": "run-1", "fence": 3, "attempt": 2, "attempt_token": "t", "correlation_id": "c-1"}
    output = await ask(redis, make_wrapper(), **given)
    assert {name: getattr(output, name) for name in given} == given
    assert output.worker_id == "w-1"


async def test_the_status_hash_tells_what_is_in_hand_and_is_cleared_after_the_answer(
    redis: Any, make_wrapper: MakeWrapper
) -> None:
    await redis.hset("worker:status:w-1", mapping={"status": "RUNNING"})
    rule = {"match": "", "delay_seconds": 0.5, "result": {"summary": "s", "steps": ["a"]}}
    turn = asyncio.ensure_future(ask(redis, make_wrapper([rule]), run_id="run-1", attempt_token="t"))
    async with asyncio.timeout(10):
        while "request_id" not in (in_hand := await redis.hgetall("worker:status:w-1")):
            assert not turn.done(), "the turn ended before it was noted"
            await asyncio.sleep(0.01)
    await turn
    assert in_hand["request_id"] == "r-1"
    assert in_hand["input_stream"] == "worker:developer:input"
    assert {"stage", "attempt", "fence", "attempt_token", "input_entry_id", "claimed_at"} <= in_hand.keys()
    after = await redis.hgetall("worker:status:w-1")
    assert set(after) == {"status", "task_id", "run_id", "active_at"}


async def test_each_answer_is_told_on_the_lifecycle_stream(redis: Any, make_wrapper: MakeWrapper) -> None:
    await ask(redis, make_wrapper())
    await ask(redis, make_wrapper([{"match": "", "exit_code": 1}]), request_id="r-2")
    entries = await redis.xrange("worker:lifecycle", "-", "+")
    events = [WorkerLifecycleEvent.model_validate_json(fields["data"]) for _, fields in entries]
    assert [(e.event.value, e.request_id) for e in events] == [("completed", "r-1"), ("failed", "r-2")]


async def test_an_answered_message_is_acknowledged(redis: Any, make_wrapper: MakeWrapper) -> None:
    wrapper = make_wrapper()
    await ask(redis, wrapper)
    assert (await redis.xpending("worker:developer:input", "worker-wrapper"))["pending"] == 0
    assert not await wrapper.process_one_message()


async def test_a_product_owner_keeps_one_conversation(redis: Any, make_wrapper: MakeWrapper) -> None:
    wrapper = make_wrapper([{"match": "", "text": "Hello <result>{}</result>"}], worker_type=WorkerType.PO)
    first = await chat(redis, wrapper, "chat:1", "[stage:po]\nHi")
    second = await chat(redis, wrapper, "chat:2", "[stage:po]\nAgain")
    assert first.status is ResultStatus.SUCCESS
    assert first.text == "Hello <result>{}</result>"
    assert (first.is_final, first.user_id, first.worker_id) == (True, "user-1", "w-1")
    assert first.session_id == second.session_id


async def test_a_failed_turn_of_a_product_owner_has_an_error_and_no_text(redis: Any, make_wrapper: MakeWrapper) -> None:
    rule = {"match": "", "is_error": True, "text": "API Error: overloaded", "api_error_status": 529}
    output = await chat(redis, make_wrapper([rule], worker_type=WorkerType.PO), "chat:1", "Hi")
    assert (output.status, output.text) == (ResultStatus.ERROR, "")
    assert output.error == "API Error: overloaded"


async def test_a_conversation_the_agent_lost_begins_anew_once(redis: Any, make_wrapper: MakeWrapper) -> None:
    await redis.set("worker:session:w-1", '{"session_id": "forgotten"}')
    lost = {"match": "", "is_error": True, "text": "No conversation found with session ID: forgotten", "times": 1}
    wrapper = make_wrapper([lost, {"match": "", "text": "Fresh"}], worker_type=WorkerType.PO)
    output = await chat(redis, wrapper, "chat:1", "Hi")
    assert output.text == "Fresh"
    assert output.session_id != "forgotten"
    stored = await redis.get("worker:session:w-1")
    assert output.session_id in stored


async def test_the_transcript_lies_beside_the_checkout(redis: Any, make_wrapper: MakeWrapper, tmp_path: Path) -> None:
    key = "sk-ant-" + "0123456789abcdef"
    await ask(redis, make_wrapper([{"match": "", "text": f"the key is {key}"}]), stage=Stage.FREE)
    text = (tmp_path / "workspace" / "transcript.jsonl").read_text()
    assert "the key is" in text
    assert key not in text
