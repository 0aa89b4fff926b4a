"""The real Claude Code binary against the scripted Messages API: envelopes, sessions, errors as they really are."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from emulators.anthropic.fixtures import RunningAnthropic, running_anthropic
from shared.contracts.queues.workers import (
    DeveloperWorkerInput,
    DeveloperWorkerOutput,
    FailureCause,
    POWorkerInput,
    POWorkerOutput,
)
from shared.contracts.vocabulary import AgentType, ResultStatus, Stage, WorkerType
from worker_wrapper.settings import WrapperSettings
from worker_wrapper.wrapper import WorkerWrapper

REPOSITORY = Path(__file__).resolve().parents[4]
SCRIPT = """
name: wrapper
model_usage: {input_tokens: 100, output_tokens: 10}
rules:
  - name: plan
    when: {stage: plan, last_user_contains: Plan it}
    reply:
      - tool: Bash
        input: {command: "echo request=$WORKER_REQUEST_ID", description: look}
  - name: forgets the block
    when: {after_tool: Bash, last_tool_contains: "request=r-1"}
    reply: [{text: "I have a plan."}]
  - name: repair
    when: {last_user_contains: could not be read}
    reply: [{text: '<result>{"summary": "s", "steps": ["a"]}</result>'}]
  - name: first
    when: {last_user_contains: my name is Ada, turn: 0}
    reply: [{text: "Hello Ada."}]
  - name: second
    when: {last_user_contains: what is my name, turn: 1}
    reply: [{text: "Ada."}]
  - name: fresh
    when: {last_user_contains: begin anew, turn: 0}
    reply: [{text: "Who are you?"}]
  - name: refused
    when: {last_user_contains: no credit}
    error: {status: 401, type: authentication_error, message: refused}
"""


def claude_binary() -> Path | None:
    """Return the installed binary: CLAUDE_BINARY, or where setup puts it."""
    named = os.environ.get("CLAUDE_BINARY")
    path = Path(named) if named else REPOSITORY / ".codegen" / "agents" / "claude"
    return path if path.is_file() else None


pytestmark = [
    pytest.mark.skipif(claude_binary() is None, reason="no Claude Code: set CLAUDE_BINARY or run make setup"),
    pytest.mark.timeout(120),
]


@pytest.fixture
async def anthropic(tmp_path: Path) -> AsyncIterator[RunningAnthropic]:
    script = tmp_path / "script.yaml"
    script.write_text(SCRIPT)
    async with running_anthropic(tmp_path / "emulator", [script]) as running:
        yield running


@pytest.fixture
def settings(
    anthropic: RunningAnthropic, make_settings: Callable[..., WrapperSettings], tmp_path: Path
) -> Callable[..., WrapperSettings]:
    binary = claude_binary()
    assert binary is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "claude").symlink_to(binary.resolve())

    def make(**changes: Any) -> WrapperSettings:
        environ = {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "HOME": str(tmp_path / "home"),
            "ANTHROPIC_BASE_URL": anthropic.base_url,
            "ANTHROPIC_API_KEY": "key-of-a-test",
        }
        return make_settings(agent_type=AgentType.CLAUDE, environ=environ, **changes)

    return make


async def plan(redis: Any, settings: WrapperSettings, prompt: str) -> DeveloperWorkerOutput:
    message = DeveloperWorkerInput(
        request_id="r-1", task_id="t", project_id="p", stage=Stage.PLAN, prompt=prompt, timeout=60
    )
    await redis.xadd("worker:developer:input", {"data": message.model_dump_json()})
    wrapper = WorkerWrapper(redis=redis, worker_id="w-1", settings=settings)
    assert await wrapper.process_one_message()
    entries = await redis.xrange("worker:developer:output", "-", "+")
    return DeveloperWorkerOutput.model_validate_json(entries[-1][1]["data"])


async def chat(redis: Any, settings: WrapperSettings, request_id: str, prompt: str) -> POWorkerOutput:
    message = POWorkerInput(request_id=request_id, user_id="u", prompt=prompt, timeout=60)
    await redis.xadd("worker:po:w-1:input", {"data": message.model_dump_json()})
    assert await WorkerWrapper(redis=redis, worker_id="w-1", settings=settings).process_one_message()
    entries = await redis.xrange("worker:po:w-1:output", "-", "+")
    return POWorkerOutput.model_validate_json(entries[-1][1]["data"])


async def test_a_stage_with_a_tool_call_and_a_repair_turn(
    redis: Any, settings: Callable[..., WrapperSettings], anthropic: RunningAnthropic
) -> None:
    output = await plan(redis, settings(), "[stage:plan]\nPlan it")
    assert output.status is ResultStatus.SUCCESS, output.error
    assert output.verdict is not None
    assert output.verdict.data["steps"] == ["a"]
    counted = await anthropic.usage()
    assert (output.usage.input_tokens, output.usage.output_tokens) == (counted.input_tokens, counted.output_tokens)
    assert counted.input_tokens == 300


async def test_a_product_owner_remembers_between_messages_and_begins_anew_when_its_home_is_lost(
    redis: Any, settings: Callable[..., WrapperSettings], tmp_path: Path
) -> None:
    owner = settings(worker_type=WorkerType.PO)
    first = await chat(redis, owner, "chat:1", "[stage:po]\nmy name is Ada")
    second = await chat(redis, owner, "chat:2", "[stage:po]\nwhat is my name")
    assert (first.text, second.text) == ("Hello Ada.", "Ada."), (first.error, second.error)
    assert first.session_id == second.session_id
    (tmp_path / "home" / ".claude").rename(tmp_path / "lost")
    third = await chat(redis, owner, "chat:3", "[stage:po]\nbegin anew")
    assert third.text == "Who are you?", third.error
    assert third.session_id != first.session_id


async def test_a_refused_key_is_an_authentication_failure(redis: Any, settings: Callable[..., WrapperSettings]) -> None:
    output = await plan(redis, settings(), "[stage:plan]\nno credit")
    assert (output.status, output.cause) == (ResultStatus.ERROR, FailureCause.AUTH_FAILED)
