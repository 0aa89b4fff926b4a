"""The runner's harder duties: an unprivileged user, a killed emulator, turns, time limits, and what leaves no trace."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from emulators.github.fixtures import RunningGitHub, running_github
from emulators.github.workbench import Workbench, until
from shared.testing.processes import is_running

pytestmark = pytest.mark.service

NOBODY = 65534


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder every user can reach and write."""
    folder = Path(tempfile.mkdtemp(prefix="emulators-github-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def github(tmp_path: Path) -> AsyncIterator[RunningGitHub]:
    async with running_github(tmp_path / "github", options=["--runner-env", "FLAVOUR=vanilla"]) as github:
        yield github


def workflow(*steps: str, head: str = "on: push", job: str = "") -> str:
    lines = "\n".join(f"      - {step}" for step in steps)
    return f"{head}\njobs:\n  a:\n    runs-on: x\n{job}    steps:\n{lines}\n"


async def push(bench: Workbench, folder: Path, text: str) -> str:
    clone = await bench.clone(folder)
    sha = await clone.commit({".github/workflows/ci.yml": text})
    await clone.push()
    return sha


async def appears(path: Path) -> None:
    async def look() -> bool | None:
        return path.exists() or None

    await until(look)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can run jobs as somebody else")
async def test_jobs_run_as_the_given_user_who_cannot_read_the_state(tmp_path: Path, open_folder: Path) -> None:
    state = open_folder / "state"
    options = ["--runner-uid", str(NOBODY), "--runner-dir", str(open_folder / "runner")]
    text = workflow(
        "uses: actions/checkout@v4",
        "run: 'test $(id -u) = 65534 && test $(id -g) = 65534 && test \"$(id -G)\" = 65534'",
        'run: \'touch new .git/touched "$HOME/x" "$TMPDIR/y" && git status --short\'',
        f"run: '! cat {state}/github.sqlite3 && ! ls {state}/repositories'",
        "uses: actions/upload-artifact@v4\n        with: {path: '*'}",
    )
    async with running_github(state, options=options) as github, github.workbench("demo") as bench:
        sha = await push(bench, tmp_path / "clone", text)
        (run,) = await bench.finished_runs(sha)
        assert run["conclusion"] == "success", await bench.job_log(run["id"])
        assert (await bench.json(f"/actions/runs/{run['id']}/artifacts"))["total_count"] == 1
    assert list((open_folder / "runner").glob("job-*")) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can run jobs as somebody else")
async def test_an_artifact_cannot_carry_a_file_its_user_may_not_read(tmp_path: Path, open_folder: Path) -> None:
    secret = open_folder / "root-only.txt"
    secret.write_text("for root only")
    secret.chmod(0o600)
    options = ["--runner-uid", str(NOBODY), "--runner-dir", str(open_folder / "runner")]
    text = workflow(f"run: ln -s {secret} link", "uses: actions/upload-artifact@v4\n        with: {path: link}")
    async with running_github(open_folder / "state", options=options) as github, github.workbench("demo") as bench:
        (run,) = await bench.finished_runs(await push(bench, tmp_path / "clone", text))
        assert run["conclusion"] == "failure"
        assert (await bench.json(f"/actions/runs/{run['id']}/artifacts"))["total_count"] == 0


async def test_a_run_interrupted_by_a_kill_is_executed_again_from_its_start(
    github: RunningGitHub, tmp_path: Path
) -> None:
    first, pids, go = tmp_path / "first", tmp_path / "pids", tmp_path / "go"
    text = workflow(
        f"run: 'echo $$ >> {pids}; touch {first}; while ! test -e {go}; do sleep 0.05; done; echo finished'"
    )
    async with github.workbench("demo") as bench:
        sha = await push(bench, tmp_path / "clone", text)
        await appears(first)
        await github.restart(kill=True)

        async def started_twice() -> bool | None:
            return len(pids.read_text().split()) == 2 or None

        await until(started_twice)
        old = int(pids.read_text().split()[0])

        async def gone() -> bool | None:
            return not is_running(old) or None

        await until(gone)
        go.touch()
        (run,) = await bench.finished_runs(sha)
        assert (run["conclusion"], run["run_attempt"]) == ("success", 1)
        assert (await bench.job_log(run["id"])).count("finished") == 2


async def test_sigterm_ends_the_emulator_and_its_jobs_within_a_second(github: RunningGitHub, tmp_path: Path) -> None:
    started = tmp_path / "started"
    text = workflow(f"run: 'trap \"\" TERM; echo $$ > {started}.new; mv {started}.new {started}; sleep 300'")
    async with github.workbench("demo") as bench:
        await push(bench, tmp_path / "clone", text)
        await appears(started)
        process = github.process.process
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(2):
            assert await process.wait() == 0
        assert not is_running(int(started.read_text()))


async def test_a_job_over_its_time_ends_with_everything_it_started(github: RunningGitHub, tmp_path: Path) -> None:
    text = workflow(
        "run: sleep 300 & sleep 300",
        "run: echo not reached",
        "if: always()\n        run: echo cleaning",
        job="    timeout-minutes: 0.01\n",
    )
    async with github.workbench("demo") as bench:
        (run,) = await bench.finished_runs(await push(bench, tmp_path / "clone", text))
        log = await bench.job_log(run["id"])
        (job,) = (await bench.json(f"/actions/runs/{run['id']}/jobs"))["jobs"]
        assert (run["conclusion"], job["conclusion"]) == ("failure", "timed_out")
        assert "has timed out" in log
        assert "not reached" not in log
        assert log.rstrip().split("\n")[-2].endswith("cleaning")


async def test_a_background_process_does_not_keep_a_step_or_outlive_its_job(
    github: RunningGitHub, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    text = workflow(f"run: 'sleep 300 & echo $! > {pid}'", "run: echo second")
    async with github.workbench("demo") as bench:
        (run,) = await bench.finished_runs(await push(bench, tmp_path / "clone", text))
        assert run["conclusion"] == "success"

        async def gone() -> bool | None:
            return not is_running(int(pid.read_text())) or None

        await until(gone)


async def test_the_environment_of_a_step_is_listed_and_nothing_else(github: RunningGitHub, tmp_path: Path) -> None:
    text = workflow("run: env | sort", job="    env: {MODE: '${{ github.event_name }}', CI: nope}\n")
    async with github.workbench("demo") as bench:
        sha = await push(bench, tmp_path / "clone", text)
        (run,) = await bench.finished_runs(sha)
        log = await bench.job_log(run["id"])
    for line in ("FLAVOUR=vanilla", "MODE=push", "CI=true", f"GITHUB_SHA={sha}", "GITHUB_REPOSITORY=acme/demo"):
        assert f"Z {line}\n" in log
    assert f"GITHUB_API_URL={github.base_url}" in log
    assert "PYTEST_CURRENT_TEST" not in log
    assert f"HOME={Path.home()}\n" not in log


async def test_runs_of_one_concurrency_group_follow_each_other_and_the_newest_waits(
    github: RunningGitHub, tmp_path: Path
) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    head = (
        "on: {workflow_dispatch: {inputs: {n: {required: true}}}}\nrun-name: number ${{ inputs.n }}\n"
        "concurrency: {group: 'deploy-${{ github.ref }}'}"
    )
    text = workflow(f"run: 'touch {started}; while ! test -e {go}; do sleep 0.05; done'", head=head)
    async with github.workbench("demo") as bench:
        sha = await push(bench, tmp_path / "clone", text)
        for number in range(3):
            body = {"ref": "main", "inputs": {"n": str(number)}}
            assert (await bench.call("POST", "/actions/workflows/ci.yml/dispatches", json=body)).status_code == 204
            await appears(started)

        async def replaced() -> bool | None:
            """A dispatch answers before its run takes its place."""
            runs = (await bench.json("/actions/runs"))["workflow_runs"]
            return any(run["conclusion"] == "cancelled" for run in runs) or None

        await until(replaced)
        go.touch()
        runs = await bench.finished_runs(sha, 3)
    conclusions = {run["display_title"]: run["conclusion"] for run in runs}
    assert conclusions == {"number 0": "success", "number 1": "cancelled", "number 2": "success"}


async def test_a_job_s_own_push_uses_its_token_and_starts_no_run(github: RunningGitHub, tmp_path: Path) -> None:
    text = workflow(
        "uses: actions/checkout@v4",
        "run: 'echo x > made && git add made && git -c user.name=x -c user.email=x@y commit -qm made && git push -q'",
        head="on: push\npermissions: {contents: write}",
    )
    async with github.workbench("demo") as bench:
        sha = await push(bench, tmp_path / "clone", text)
        (run,) = await bench.finished_runs(sha)
        assert run["conclusion"] == "success", await bench.job_log(run["id"])
        head = (await bench.json("/git/ref/heads/main"))["object"]["sha"]
        assert head != sha
        assert (await bench.json(f"/actions/runs?head_sha={head}"))["total_count"] == 0
        assert (await bench.call("POST", f"/actions/runs/{run['id']}/rerun")).status_code == 201
        (again,) = await bench.finished_runs(sha)
        assert again["run_attempt"] == 2


async def test_a_failed_need_skips_its_followers_unless_they_ask(github: RunningGitHub, tmp_path: Path) -> None:
    text = """
on: push
jobs:
  first: {runs-on: x, steps: [{run: exit 1}]}
  second: {runs-on: x, needs: first, steps: [{run: 'true'}]}
  third: {runs-on: x, needs: [first, second], if: "always() && needs.first.result == 'failure'", steps: [{run: 'true'}]}
  soft: {runs-on: x, continue-on-error: true, steps: [{run: exit 1, continue-on-error: true}, {run: exit 2}]}
"""
    async with github.workbench("demo") as bench:
        (run,) = await bench.finished_runs(await push(bench, tmp_path / "clone", text))
        jobs = (await bench.json(f"/actions/runs/{run['id']}/jobs"))["jobs"]
    assert {job["name"]: job["conclusion"] for job in jobs} == {
        "first": "failure",
        "second": "skipped",
        "third": "success",
        "soft": "failure",
    }
    assert run["conclusion"] == "failure"
