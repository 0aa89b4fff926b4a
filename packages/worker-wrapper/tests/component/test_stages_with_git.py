"""Stages over a real repository: what is cloned, committed, pushed, tested, and what is not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.queues.workers import DeveloperWorkerInput, DeveloperWorkerOutput, FailureCause, RepoRef
from shared.contracts.vocabulary import ResultStatus, Stage
from worker_wrapper.git import Git
from worker_wrapper.process import ChildProcesses
from worker_wrapper.wrapper import WorkerWrapper

MakeWrapper = Callable[..., WorkerWrapper]
BRANCH = "run/0123456789ab"


def git(cwd: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


class Runner:
    """Sends stages to a wrapper and returns what it answers."""

    def __init__(self, redis: Any, origin: Path) -> None:
        self.redis = redis
        self.origin = origin
        self.count = 0

    async def stage(self, wrapper: WorkerWrapper, stage: Stage, **changes: Any) -> DeveloperWorkerOutput:
        self.count += 1
        known: dict[str, Any] = {
            "request_id": f"run:{stage}:{self.count}",
            "task_id": "task-1",
            "project_id": "project-1",
            "stage": stage,
            "prompt": f"[stage:{stage}]\nDo it",
            "repo": RepoRef(clone_url=f"file://{self.origin}", branch=BRANCH),
        }
        message = DeveloperWorkerInput(**{**known, **changes})
        await self.redis.xadd("worker:developer:input", {"data": message.model_dump_json()})
        assert await wrapper.process_one_message()
        entries = await self.redis.xrange("worker:developer:output", "-", "+")
        return DeveloperWorkerOutput.model_validate_json(entries[-1][1]["data"])


@pytest.fixture
def runner(redis: Any, origin: Path) -> Runner:
    return Runner(redis, origin)


async def test_a_run_goes_through_its_stages_with_the_mock_agents_defaults(
    runner: Runner, make_wrapper: MakeWrapper, origin: Path
) -> None:
    wrapper = make_wrapper()
    plan = await runner.stage(wrapper, Stage.PLAN)
    code = await runner.stage(wrapper, Stage.CODE)
    tested = await runner.stage(wrapper, Stage.TEST)
    review = await runner.stage(wrapper, Stage.REVIEW)
    assert [o.status for o in (plan, code, tested, review)] == [ResultStatus.SUCCESS] * 4
    assert plan.verdict is not None
    assert plan.verdict.data["steps"]
    assert code.commit_sha == git(origin, "rev-parse", f"refs/heads/{BRANCH}")
    assert git(origin, "log", "-1", "--format=%an|%s", BRANCH) == "Codegen Agent|Change one file"
    assert code.verdict is not None
    changes = code.verdict.data["file_changes"]
    assert changes == [{"path": "mock-agent.txt", "change_type": "added", "summary": None}]
    assert tested.verdict is not None
    assert tested.verdict.data["passed"] is True
    assert tested.verdict.data["counts"] == {"passed": 1, "failed": 0, "errors": 0, "skipped": 0}
    assert review.verdict is not None
    assert review.verdict.data["approved"] is True


async def test_red_tests_are_a_stage_that_worked(runner: Runner, make_wrapper: MakeWrapper) -> None:
    makefile = (
        "test:\n\t@echo 'FAILED tests/test_a.py::test_x - assert 1 == 2'; echo '1 failed, 2 passed in 1s'; exit 1\n"
    )
    wrapper = make_wrapper(
        [{"match": "stage:code", "files": {"Makefile": makefile}, "result": {"summary": "s", "commit_message": "m"}}]
    )
    await runner.stage(wrapper, Stage.CODE)
    tested = await runner.stage(wrapper, Stage.TEST)
    assert tested.status is ResultStatus.SUCCESS
    assert tested.cause is None
    assert tested.verdict is not None
    assert tested.verdict.status == "failure"
    assert tested.verdict.data["passed"] is False
    assert tested.verdict.data["failures"] == ["FAILED tests/test_a.py::test_x - assert 1 == 2"]
    assert "assert 1 == 2" in str(tested.verdict.data["log_tail"])


async def test_tests_that_do_not_end_are_a_timeout(runner: Runner, make_wrapper: MakeWrapper) -> None:
    wrapper = make_wrapper(
        [
            {
                "match": "stage:code",
                "files": {"Makefile": "test:\n\tsleep 60\n"},
                "result": {"summary": "s", "commit_message": "m"},
            }
        ]
    )
    await runner.stage(wrapper, Stage.CODE)
    tested = await runner.stage(wrapper, Stage.TEST, timeout=1)
    assert (tested.status, tested.cause) == (ResultStatus.TIMEOUT, FailureCause.TOTAL_DEADLINE)


async def test_nothing_to_commit_is_success_when_the_branch_has_the_work(
    runner: Runner, make_wrapper: MakeWrapper
) -> None:
    done = {"result": {"summary": "s", "commit_message": "m"}}
    wrapper = make_wrapper(
        [{"match": "stage:code", "files": {"a.txt": "a"}, "times": 1, **done}, {"match": "stage:code", **done}]
    )
    first = await runner.stage(wrapper, Stage.CODE)
    second = await runner.stage(wrapper, Stage.CODE)
    assert second.status is ResultStatus.SUCCESS
    assert second.commit_sha == first.commit_sha


async def test_a_code_stage_without_any_change_is_no_success(runner: Runner, make_wrapper: MakeWrapper) -> None:
    wrapper = make_wrapper([{"match": "stage:code", "result": {"summary": "s", "commit_message": "m"}}])
    output = await runner.stage(wrapper, Stage.CODE)
    assert (output.status, output.cause) == (ResultStatus.ERROR, FailureCause.NO_RESULT)
    assert "changed no file" in (output.error or "")


async def test_a_worker_that_takes_over_goes_on_from_the_pushed_branch(
    runner: Runner, make_wrapper: MakeWrapper, tmp_path: Path, origin: Path
) -> None:
    done = {"result": {"summary": "s", "commit_message": "m"}}
    rules = [
        {"match": "stage:code", "files": {"a.txt": "a"}, "times": 1, **done},
        {"match": "stage:code", "files": {"b.txt": "b"}, **done},
    ]
    await runner.stage(make_wrapper(rules), Stage.CODE)
    other = tmp_path / "other"
    other.mkdir()
    await runner.stage(make_wrapper(rules, workspace=other), Stage.CODE)
    assert git(origin, "ls-tree", "--name-only", BRANCH).split() == ["Makefile", "a.txt", "b.txt"]
    assert git(origin, "rev-list", "--count", f"main..{BRANCH}") == "2"


async def test_reading_stages_leave_no_change_behind(runner: Runner, make_wrapper: MakeWrapper, tmp_path: Path) -> None:
    wrapper = make_wrapper(
        [{"match": "stage:plan", "files": {"stray.txt": "x"}, "result": {"summary": "s", "steps": ["a"]}}]
    )
    await runner.stage(wrapper, Stage.PLAN)
    assert git(tmp_path / "workspace" / "repo", "status", "--porcelain") == ""


async def test_hooks_and_notes_of_the_agent_are_neither_run_nor_committed(
    runner: Runner, make_wrapper: MakeWrapper, origin: Path, tmp_path: Path
) -> None:
    trap = tmp_path / "trapped"
    hook = f"#!/bin/sh\ntouch {trap}\n"
    wrapper = make_wrapper(
        [
            {
                "match": "stage:code",
                "files": {".git/hooks/pre-push": hook, ".claude/notes": "x", "a.txt": "a"},
                "run": [["chmod", "+x", ".git/hooks/pre-push"]],
                "result": {"summary": "s", "commit_message": "m"},
            }
        ]
    )
    output = await runner.stage(wrapper, Stage.CODE)
    assert output.status is ResultStatus.SUCCESS
    assert not trap.exists()
    assert git(origin, "ls-tree", "-r", "--name-only", BRANCH).split() == ["Makefile", "a.txt"]


@pytest.mark.parametrize(
    "url", ["ext::sh -c id", "ssh://host/x.git", "--upload-pack=x", "https://user:secret@host/x.git"]
)
async def test_addresses_that_git_must_not_speak_to_are_refused(
    runner: Runner, make_wrapper: MakeWrapper, url: str
) -> None:
    output = await runner.stage(make_wrapper(), Stage.PLAN, repo=RepoRef(clone_url=url, branch=BRANCH))
    assert (output.status, output.cause) == (ResultStatus.ERROR, FailureCause.WORKSPACE)
    assert "secret" not in (output.error or "")


async def test_a_repository_that_is_gone_is_a_workspace_error(runner: Runner, make_wrapper: MakeWrapper) -> None:
    gone = RepoRef(clone_url="file:///no/such/repository.git", branch=BRANCH)
    output = await runner.stage(make_wrapper(), Stage.PLAN, repo=gone)
    assert output.cause is FailureCause.WORKSPACE
    assert "git fetch failed" in (output.error or "")


async def test_the_token_reaches_git_through_a_file_that_lives_for_one_command(tmp_path: Path) -> None:
    state = tmp_path / "state"
    git_of_ours = Git(ChildProcesses(), {"PATH": "/usr/bin:/bin"}, state)
    answer = tmp_path / "answer"
    script = f"!f() {{ stat -c %a {state}/credentials-*; cat {state}/credentials-*; }} >> {answer}; f"
    git(tmp_path, "init", "--quiet", "checkout")
    await git_of_ours.talk(
        tmp_path / "checkout", "https://host.invalid/x.git", "to/ken", "-c", f"alias.look={script}", "look"
    )
    assert answer.read_text().splitlines() == ["600", "https://x-access-token:to%2Fken@host.invalid"]
    assert list(state.iterdir()) == []
    assert "to/ken" not in (tmp_path / "checkout" / ".git" / "config").read_text()
