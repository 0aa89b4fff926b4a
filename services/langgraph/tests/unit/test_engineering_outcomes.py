"""Every row of the outcome table, and the limits of attempts and rounds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agent_graphs.testing import RED_TESTS, REJECTION, World
from shared.contracts.dto.work import RunDTO, TaskDTO
from shared.contracts.queues.workers import FailureCause, RefusalCode
from shared.contracts.run_machine import RunEventName, RunState
from shared.contracts.stages import AgentVerdict
from shared.contracts.topology import ADMIN_NOTIFICATIONS
from shared.contracts.vocabulary import ResultStatus, Stage, WaitingReason, WaitKind

FAILED, ERROR, TIMEOUT = ResultStatus.FAILED, ResultStatus.ERROR, ResultStatus.TIMEOUT


class Started:
    """A run whose worker is asked for its plan."""

    def __init__(self, world: World, task: TaskDTO, worker: str) -> None:
        self.world, self.task, self.worker = world, task, worker

    async def run(self) -> RunDTO:
        return await self.world.run_of(self.task)

    async def asked(self, worker: str | None = None) -> tuple[Stage, int]:
        last = (await self.world.inputs(worker or self.worker))[-1]
        return last.stage, last.attempt

    async def answer(self, **changes: Any) -> None:
        await self.world.answer_turn(self.worker, **changes)


@pytest.fixture
async def started(world: World) -> Started:
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    return Started(world, task, await world.answer_worker())


TRANSIENT = [
    pytest.param({"status": ERROR, "cause": FailureCause.NO_RESULT, "error": "prose instead"}, "no_result", id="none"),
    pytest.param({"data": {"summary": "no steps"}}, "no_result", id="invalid"),
    pytest.param({"status": ERROR, "cause": FailureCause.AGENT_ERROR, "error": "exit 2"}, "agent_error", id="error"),
    pytest.param({"status": ERROR, "error": "exit 2"}, "agent_error", id="error without a cause"),
    pytest.param({"status": TIMEOUT, "cause": FailureCause.IDLE_DEADLINE}, "timeout", id="idle"),
    pytest.param({"status": TIMEOUT, "cause": FailureCause.TOTAL_DEADLINE}, "timeout", id="total"),
    pytest.param({"status": TIMEOUT}, "timeout", id="timeout without a cause"),
    pytest.param({"status": ERROR, "cause": FailureCause.WORKSPACE, "error": "no clone"}, "workspace", id="workspace"),
    pytest.param(
        {"verdict": AgentVerdict(status="failure", summary="cannot", data={"summary": "s", "steps": ["a"]})},
        "agent_gave_up",
        id="gave up",
    ),
]


@pytest.mark.parametrize(("changes", "reason"), TRANSIENT)
async def test_a_transient_failure_is_tried_three_times_and_then_fails_the_plan(
    started: Started, changes: dict[str, Any], reason: str
) -> None:
    for attempt in (1, 2, 3):
        assert await started.asked() == (Stage.PLAN, attempt)
        await started.answer(**changes)
    run = await started.run()
    assert (run.state, run.reason) == (RunState.FAILED, reason)
    assert await started.world.deletions() == [started.worker]


async def test_a_new_attempt_is_told_what_came_before(started: Started) -> None:
    await started.answer(status=ERROR, error="disk quota exceeded")
    last = (await started.world.inputs(started.worker))[-1]
    assert "disk quota exceeded" in last.prompt
    assert any("plan attempt 1 of 3" in note for note in last.previous_attempts)


async def test_a_crash_gets_a_new_worker_for_the_same_branch(started: Started) -> None:
    await started.answer()
    await started.answer(status=FAILED, cause=FailureCause.CRASH, error="killed")
    assert await started.world.deletions() == [started.worker]
    creations = await started.world.creations()
    assert [creation.request_id.split(":", 1)[1] for creation in creations] == ["worker:1", "worker:2"]
    second = await started.world.answer_worker()
    first_input, second_input = (await started.world.inputs(started.worker))[0], (await started.world.inputs(second))[0]
    assert await started.asked(second) == (Stage.CODE, 2)
    assert first_input.repo is not None
    assert second_input.repo is not None
    assert first_input.repo.branch == second_input.repo.branch


async def test_out_of_memory_gets_more_of_it_once(started: Started) -> None:
    await started.answer(status=FAILED, cause=FailureCause.OOM, error="OOM killed")
    second = await started.world.answer_worker()
    await started.world.answer_turn(second, status=FAILED, cause=FailureCause.OOM)
    await started.world.answer_worker()
    memory = [creation.config.limits.memory_mb for creation in await started.world.creations()]
    assert memory == [512, 1024, 1024]


async def test_code_that_was_not_pushed_is_another_attempt(started: Started) -> None:
    await started.answer()
    await started.answer(commit_sha=None)
    assert await started.asked() == (Stage.CODE, 2)


async def test_a_provider_limit_waits_for_the_reset_and_is_no_attempt(started: Started) -> None:
    reset = started.world.clock.now() + timedelta(hours=1)
    await started.answer(status=ERROR, cause=FailureCause.PROVIDER_LIMIT, retry_at=reset.isoformat())
    run = await started.run()
    assert (run.waiting_reason, run.waiting_until, run.wake_at) == (WaitingReason.QUOTA, reset, reset)
    await started.world.tick(60)
    await started.world.announce(started.task)
    assert len(await started.world.inputs(started.worker)) == 1
    await started.world.tick(3600)
    assert await started.asked() == (Stage.PLAN, 1)
    assert [item.request_id.rsplit(":", 1)[1] for item in await started.world.inputs(started.worker)] == ["1", "2"]
    assert (await started.run()).waiting_reason is None


@pytest.mark.parametrize("told", [None, "soon", "2020-01-01T00:00:00", "2020-01-01T00:00:00+00:00"])
async def test_a_limit_without_a_usable_reset_is_waited_for_a_while(started: Started, told: str | None) -> None:
    await started.answer(status=ERROR, cause=FailureCause.PROVIDER_LIMIT, retry_at=told)
    assert (await started.run()).waiting_until == started.world.clock.now() + timedelta(seconds=900)


async def test_a_failed_sign_in_waits_for_a_person_and_tells_the_administrators(started: Started) -> None:
    await started.answer(status=ERROR, cause=FailureCause.AUTH_FAILED, error="invalid key")
    assert (await started.run()).waiting_reason is WaitingReason.HUMAN
    (notification,) = await started.world.bus.messages(ADMIN_NOTIFICATIONS)
    assert "invalid key" in notification.text
    await started.world.announce(started.task)
    assert await started.asked() == (Stage.PLAN, 1)
    assert len(await started.world.inputs(started.worker)) == 2


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (RefusalCode.RESOURCE_EXHAUSTED, WaitingReason.RESOURCES),
        (RefusalCode.IMAGE_FAILED, WaitingReason.INFRASTRUCTURE),
        (RefusalCode.RUNTIME_FAILED, WaitingReason.INFRASTRUCTURE),
    ],
)
async def test_a_refusal_parks_the_run_and_is_tried_again_ever_later(
    world: World, code: RefusalCode, reason: WaitingReason
) -> None:
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    pauses = []
    for _ in range(3):
        await world.answer_worker(code, retryable=True)
        run = await world.run_of(task)
        assert run.waiting_reason is reason
        assert run.wake_at is not None
        pauses.append((run.wake_at - world.clock.now()).total_seconds())
        await world.tick(pauses[-1])
    assert pauses == [15, 30, 60]
    assert len(await world.creations()) == 4
    worker = await world.answer_worker()
    assert (await world.inputs(worker))[-1].attempt == 1


async def test_a_refusal_for_lack_of_credentials_waits_for_a_person(world: World) -> None:
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    await world.answer_worker(RefusalCode.AUTH_MISSING)
    assert (await world.run_of(task)).waiting_reason is WaitingReason.HUMAN
    assert len(await world.bus.messages(ADMIN_NOTIFICATIONS)) == 1


async def test_a_refusal_that_cannot_change_fails_the_run(world: World) -> None:
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    await world.answer_worker(RefusalCode.INVALID_CONFIG)
    run = await world.run_of(task)
    assert (run.state, run.reason) == (RunState.FAILED, "worker_refused")


async def test_scaffolding_that_fails_three_times_fails_the_run(world: World) -> None:
    project = await world.new_project(is_scaffolded=False)
    task = await world.new_task(project)
    await world.announce(task)
    for _ in range(3):
        await world.answer_scaffold(project, error="template broken")
    run = await world.run_of(task)
    assert (run.state, run.reason) == (RunState.FAILED, "scaffolding_failed")


async def test_red_tests_go_back_to_code_with_the_failures(started: Started) -> None:
    await started.world.answer_stages(started.worker, Stage.PLAN, Stage.CODE)
    await started.answer(data=RED_TESTS)
    assert await started.asked() == (Stage.CODE, 2)
    assert "assert 404 == 200" in (await started.world.inputs(started.worker))[-1].prompt
    assert (await started.run()).code_attempts == 2
    await started.world.answer_stages(started.worker, Stage.CODE, Stage.TEST, Stage.REVIEW)
    assert (await started.run()).state is RunState.PR_OPEN


async def test_red_tests_reported_as_a_failed_check_count_as_red_tests(started: Started) -> None:
    await started.world.answer_stages(started.worker, Stage.PLAN, Stage.CODE)
    await started.answer(status=FAILED, verdict=AgentVerdict(data=RED_TESTS))
    assert await started.asked() == (Stage.CODE, 2)
    assert await started.world.deletions() == []


async def test_tests_red_three_times_fail_the_code(started: Started) -> None:
    await started.answer()
    for attempt in (1, 2, 3):
        assert await started.asked() == (Stage.CODE, attempt)
        await started.answer()
        await started.answer(data=RED_TESTS)
    run = await started.run()
    assert (run.state, run.reason, run.code_attempts) == (RunState.FAILED, "tests_red", 3)


async def test_attempts_of_code_count_crashes_and_red_tests_together(started: Started) -> None:
    await started.answer()
    await started.answer(status=TIMEOUT)
    await started.answer()
    await started.answer(data=RED_TESTS)
    await started.answer(status=ERROR)
    assert (await started.run()).state is RunState.FAILED


async def test_rejected_twice_then_approved_opens_the_pull_request(started: Started) -> None:
    await started.answer()
    for number in (1, 2):
        await started.world.answer_stages(started.worker, Stage.CODE, Stage.TEST)
        await started.answer(data=REJECTION)
        assert (await started.run()).review_rounds == number
        assert await started.asked() == (Stage.CODE, 1)
    assert "sort by created_at" in (await started.world.inputs(started.worker))[-1].prompt
    await started.world.answer_stages(started.worker, Stage.CODE, Stage.TEST, Stage.REVIEW)
    assert (await started.run()).state is RunState.PR_OPEN


async def test_rejected_three_times_fails_the_review(started: Started) -> None:
    await started.answer()
    for _ in range(3):
        await started.world.answer_stages(started.worker, Stage.CODE, Stage.TEST)
        await started.answer(data=REJECTION)
    run = await started.run()
    assert (run.state, run.reason) == (RunState.FAILED, "review_rejected")
    events = await started.world.api.list_events(run.id)
    (message,) = [event.payload.message for event in events if event.payload.event is RunEventName.REVIEW_FAILED]
    assert "sort by created_at" in str(message)


async def test_a_missing_answer_is_asked_for_again_under_the_same_id_and_then_given_up(started: Started) -> None:
    first = (await started.world.inputs(started.worker))[0]
    await started.world.tick(61)
    again = (await started.world.inputs(started.worker))[1]
    assert (again.request_id, again.fence, again.attempt_token) == (first.request_id, first.fence, first.attempt_token)
    await started.world.tick(61)
    assert len(await started.world.inputs(started.worker)) == 2
    await started.world.tick(60)
    assert len(await started.world.inputs(started.worker)) == 3
    await started.world.tick(2000)
    assert await started.world.deletions() == [started.worker]
    second = await started.world.answer_worker()
    assert await started.asked(second) == (Stage.PLAN, 2)


async def test_a_reconcilers_message_does_what_the_poller_does(started: Started) -> None:
    started.world.clock.advance(61)
    await started.world.announce(started.task)
    assert len(await started.world.inputs(started.worker)) == 2


async def test_a_scaffold_that_is_silent_is_asked_again_and_may_have_succeeded(world: World) -> None:
    project = await world.new_project(is_scaffolded=False)
    task = await world.new_task(project)
    await world.announce(task)
    await world.scaffold(project)
    await world.tick(1000)
    assert (await world.run_of(task)).wait_kind is WaitKind.WORKER_CREATED
