"""Pull request, checks and merge: what is red or refused goes back to coding, and counts."""

from __future__ import annotations

import pytest

from agent_graphs.testing import World
from shared.clients.github.errors import GitHubInvalid, GitHubUnauthorized, GitHubUnavailable, RateLimitExceeded
from shared.clients.github.models import Pull
from shared.contracts.dto.work import RunDTO, TaskDTO
from shared.contracts.run_machine import RunState
from shared.contracts.vocabulary import Stage, WaitingReason, WaitKind
from shared.testing.github import FakeGitHub

AGAIN = (Stage.CODE, Stage.TEST, Stage.REVIEW)


class Opened:
    """A run that waits for its checks."""

    def __init__(self, world: World, task: TaskDTO, worker: str) -> None:
        self.world, self.task, self.worker = world, task, worker

    async def run(self) -> RunDTO:
        return await self.world.run_of(self.task)

    async def head(self) -> str:
        return str((await self.run()).facts.head_sha)

    async def prompt(self) -> str:
        return (await self.world.inputs(self.worker))[-1].prompt


@pytest.fixture
async def opened(world: World) -> Opened:
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    worker = await world.answer_worker()
    await world.answer_stages(worker, Stage.PLAN, *AGAIN)
    return Opened(world, task, worker)


async def test_red_checks_go_back_to_code_with_their_log_and_the_same_pull_request_is_adopted(opened: Opened) -> None:
    world = opened.world
    world.github.set_check(await opened.head(), "lint", conclusion="failure", log="E501 line too long")
    await world.tick()
    run = await opened.run()
    assert (run.state, run.review_rounds) == (RunState.CODING, 1)
    assert "E501 line too long" in await opened.prompt()
    red_sha = run.facts.head_sha
    await world.answer_stages(opened.worker, *AGAIN)
    run = await opened.run()
    assert (run.state, run.facts.pr_number) == (RunState.PR_OPEN, 1)
    assert run.facts.head_sha != red_sha
    world.github.set_check(str(run.facts.head_sha))
    await world.tick()
    assert (await opened.run()).state is RunState.COMPLETED


async def test_checks_red_three_times_fail_the_pull_request(opened: Opened) -> None:
    for _ in range(2):
        opened.world.github.set_check(await opened.head(), conclusion="failure")
        await opened.world.tick()
        await opened.world.answer_stages(opened.worker, *AGAIN)
    opened.world.github.set_check(await opened.head(), conclusion="failure")
    await opened.world.tick()
    run = await opened.run()
    assert (run.state, run.reason) == (RunState.FAILED, "ci_failed")
    assert run.facts.branch in opened.world.github.repositories["acme/notes"].branches


async def test_a_check_that_runs_keeps_the_run_waiting_ever_longer(opened: Opened) -> None:
    world = opened.world
    world.github.set_check(await opened.head(), status="in_progress")
    pauses = []
    for _ in range(12):
        run = await opened.run()
        assert (run.wait_kind, run.lease_owner) == (WaitKind.CHECKS, None)
        assert run.wake_at is not None
        pauses.append((run.wake_at - world.clock.now()).total_seconds())
        await world.tick(pauses[-1])
    assert pauses[0] == 0.5
    assert pauses == sorted(pauses)
    assert pauses[-1] == 15
    nodes = [event.payload.node for event in await world.api.list_events(run.id)]
    assert nodes.count("await_ci") == 1


async def test_one_green_check_beside_a_running_one_is_not_green(opened: Opened) -> None:
    head = await opened.head()
    opened.world.github.set_check(head, "lint")
    opened.world.github.set_check(head, "test", status="queued")
    await opened.world.tick()
    assert (await opened.run()).state is RunState.PR_OPEN


async def test_no_check_at_all_fails_after_a_while(opened: Opened) -> None:
    await opened.world.tick()
    assert (await opened.run()).state is RunState.PR_OPEN
    await opened.world.tick(700)
    run = await opened.run()
    assert (run.state, run.reason) == (RunState.FAILED, "no_checks")


async def test_a_workflow_without_a_job_is_red_although_it_leaves_no_check(opened: Opened) -> None:
    opened.world.github.add_run("acme/notes", await opened.head(), "startup_failure")
    await opened.world.tick()
    assert (await opened.run()).state is RunState.CODING
    assert "cannot be read or has no job" in await opened.prompt()


async def test_a_broken_second_workflow_is_red_beside_a_green_check(opened: Opened) -> None:
    opened.world.github.set_check(await opened.head())
    opened.world.github.add_run("acme/notes", await opened.head(), "failure", path=".github/workflows/lint.yml")
    await opened.world.tick()
    assert (await opened.run()).state is RunState.CODING
    assert ".github/workflows/lint.yml" in await opened.prompt()


async def test_a_refused_merge_goes_back_to_code_to_rebase(opened: Opened) -> None:
    opened.world.github.set_check(await opened.head())
    opened.world.github.refuse_merge = "Merge conflict"
    await opened.world.tick()
    assert (await opened.run()).state is RunState.CODING
    assert "Rebase on main" in await opened.prompt()


async def test_a_remote_branch_that_is_not_what_was_reviewed_is_not_opened(world: World) -> None:
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    worker = await world.answer_worker()
    await world.answer_stages(worker, Stage.PLAN, Stage.CODE, Stage.TEST)
    run = await world.run_of(task)
    world.github.push("acme/notes", f"run/{run.id[:12]}", {"sneaked": "in"})
    await world.answer_stages(worker, Stage.REVIEW)
    assert (await world.run_of(task)).state is RunState.CODING
    assert world.github.repositories["acme/notes"].pulls == {}


async def test_a_pull_request_github_refuses_goes_back_to_code(world: World) -> None:
    world.github.fail("create_pull", GitHubInvalid("No commits between main and run"))
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    worker = await world.answer_worker()
    await world.answer_stages(worker, Stage.PLAN, *AGAIN)
    assert (await world.inputs(worker))[-1].stage is Stage.CODE
    assert "No commits between" in (await world.inputs(worker))[-1].prompt


class FlakyGitHub(FakeGitHub):
    """Opens no pull requests while it is down."""

    is_down = True

    async def create_pull(self, full_name: str, head: str, base: str, title: str, body: str) -> Pull:
        if self.is_down:
            raise GitHubUnavailable("502")
        return await super().create_pull(full_name, head, base, title, body)


async def test_a_github_that_does_not_answer_is_tried_again_from_the_same_node() -> None:
    github = FlakyGitHub()
    world = World(github=github)
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    worker = await world.answer_worker()
    await world.answer_stages(worker, Stage.PLAN, *AGAIN)
    run = await world.run_of(task)
    assert (run.state, run.wait_kind, run.lease_owner) == (RunState.PR_OPEN, WaitKind.TIMER, None)
    github.is_down = False
    await world.tick(11)
    assert (await world.run_of(task)).wait_kind is WaitKind.CHECKS
    assert len(github.repositories["acme/notes"].pulls) == 1


async def test_a_rate_limit_is_waited_out(opened: Opened) -> None:
    world = opened.world
    reset = world.clock.now()
    limit = RateLimitExceeded("limit", reset_at=reset, retry_after_seconds=90)
    world.github.fail("list_check_runs", limit)
    await world.tick()
    run = await opened.run()
    assert run.wake_at is not None
    assert (run.wake_at - world.clock.now()).total_seconds() == 90
    assert run.state is RunState.PR_OPEN


async def test_credentials_github_does_not_accept_wait_for_a_person(world: World) -> None:
    world.github.fail("repository_token", GitHubUnauthorized("bad key"))
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    worker = await world.answer_worker()
    assert (await world.run_of(task)).waiting_reason is WaitingReason.HUMAN
    await world.announce(task)
    assert len(await world.inputs(worker)) == 1
