"""Actions with the real emulator process: workflows of pushed commits run in clean checkouts."""

import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from emulators.github.fixtures import RunningGitHub, running_github
from emulators.github.workbench import Workbench, until
from shared.testing.github_fixtures import Exchanges

pytestmark = [pytest.mark.service, pytest.mark.timeout(330), pytest.mark.asyncio(loop_scope="module")]

CI = """
name: CI
on:
  pull_request:
  push:
    branches: [main]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - name: Look around
        run: |
          test ! -e only-local.txt
          git rev-parse HEAD
          bash check.sh
"""

DEPLOY = """
name: Deploy
run-name: Deploy ${{ inputs.correlation }}
on:
  workflow_dispatch:
    inputs:
      correlation: {required: true}
      dry: {type: boolean, default: false}
      target: {type: choice, options: [staging, production]}
env:
  TARGET: ${{ inputs.target }}
jobs:
  build:
    runs-on: ubuntu-latest
    outputs:
      version: ${{ steps.version.outputs.value }}
    steps:
      - id: version
        run: echo "value=1.2.3" >> "$GITHUB_OUTPUT"
      - run: |
          mkdir -p dist && echo built > dist/app.txt
          echo "$HOME/tools" >> "$GITHUB_PATH"
          echo "GREETING=hello" >> "$GITHUB_ENV"
          mkdir -p "$HOME/tools"
          printf '#!/bin/sh\\necho tool runs\\n' > "$HOME/tools/mytool"
          chmod +x "$HOME/tools/mytool"
      - run: mytool && echo "$GREETING from $TARGET"
      - uses: actions/upload-artifact@v4
        with: {name: app, path: dist}
  deploy:
    needs: build
    if: ${{ !inputs.dry }}
    runs-on: ubuntu-latest
    steps:
      - env: {KEY: "${{ secrets.DEPLOY_KEY }}"}
        run: |
          echo "version ${{ needs.build.outputs.version }} key $KEY"
          test "$KEY" = "open sesame"
      - if: failure()
        run: echo never
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def github(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningGitHub]:
    async with running_github(tmp_path_factory.mktemp("github")) as github:
        yield github


@pytest_asyncio.fixture(loop_scope="module")
async def bench(github: RunningGitHub, github_answers: Exchanges) -> AsyncIterator[Workbench]:
    async with github.workbench("demo") as bench:
        bench.client.event_hooks = {"response": [github_answers.note_answer]}
        yield bench
        await bench.call("DELETE")


async def test_a_pull_request_turns_from_red_to_green_in_clean_checkouts(bench: Workbench, tmp_path: Path) -> None:
    clone = await bench.clone(tmp_path / "clone")
    base = await clone.commit({".github/workflows/ci.yml": CI, "check.sh": "true\n"})
    await clone.push()
    assert [run["conclusion"] for run in await bench.finished_runs(base)] == ["success"]
    await clone.branch("feature")
    red = await clone.commit({"check.sh": "exit 3\n"})
    (clone.directory / "only-local.txt").write_text("not pushed")
    await clone.push()
    opened = await bench.call("POST", "/pulls", json={"title": "Feature", "head": "feature", "base": "main"})
    assert opened.status_code == 201, opened.text
    (run,) = await bench.finished_runs(red)
    assert (run["event"], run["conclusion"], run["display_title"]) == ("pull_request", "failure", "Feature")
    checks = (await bench.json(f"/commits/{red}/check-runs"))["check_runs"]
    assert [(check["name"], check["conclusion"], check["head_sha"]) for check in checks] == [("test", "failure", red)]
    log = await bench.job_log(run["id"])
    assert red in log
    assert "Process completed with exit code 3." in log
    green = await clone.commit({"check.sh": "test -d .git\n"})
    await clone.push()
    (run,) = await bench.finished_runs(green)
    assert run["conclusion"] == "success", await bench.job_log(run["id"])
    shown = await bench.json("/pulls/1")
    assert (shown["head"]["sha"], shown["mergeable"], shown["mergeable_state"]) == (green, True, "clean")
    merged = await bench.call("PUT", "/pulls/1/merge", json={"sha": green})
    assert merged.status_code == 200
    assert merged.json()["merged"] is True
    (run,) = await bench.finished_runs(merged.json()["sha"])
    assert run["event"] == "push"


async def test_a_dispatch_gets_inputs_and_secrets_and_its_log_is_masked(bench: Workbench, tmp_path: Path) -> None:
    clone = await bench.clone(tmp_path / "clone")
    sha = await clone.commit({".github/workflows/main.yml": DEPLOY})
    await clone.push()
    assert (await bench.put_secret("deploy_key", "open sesame")).status_code == 201
    body = {"ref": "main", "inputs": {"correlation": "run-77", "target": "production"}}
    answer = await bench.call("POST", "/actions/workflows/main.yml/dispatches", json=body)
    assert (answer.status_code, answer.content) == (204, b"")
    (run,) = await bench.finished_runs(sha)
    assert run["display_title"] == "Deploy run-77"
    jobs = (await bench.json(f"/actions/runs/{run['id']}/jobs"))["jobs"]
    log = await bench.job_log(run["id"], 1)
    assert [(job["name"], job["conclusion"]) for job in jobs] == [("build", "success"), ("deploy", "success")], log
    assert "version 1.2.3 key ***" in log
    assert "open sesame" not in log
    built = await bench.job_log(run["id"])
    assert "tool runs" in built
    assert "hello from production" in built
    artifacts = (await bench.json(f"/actions/runs/{run['id']}/artifacts"))["artifacts"]
    link = await bench.call("GET", f"/actions/artifacts/{artifacts[0]['id']}/zip")
    archive = await bench.client.get(link.headers["location"], headers={"authorization": ""})
    assert zipfile.ZipFile(io.BytesIO(archive.content)).read("dist/app.txt") == b"built\n"
    link = await bench.call("GET", f"/actions/runs/{run['id']}/logs")
    logs = await bench.client.get(link.headers["location"], headers={"authorization": ""})
    assert zipfile.ZipFile(io.BytesIO(logs.content)).namelist() == ["0_build.txt", "1_deploy.txt"]


async def test_a_dispatch_with_return_run_details_names_its_run_and_skips_by_input(
    bench: Workbench, tmp_path: Path
) -> None:
    clone = await bench.clone(tmp_path / "clone")
    sha = await clone.commit({".github/workflows/main.yml": DEPLOY})
    await clone.push()
    body = {"ref": "main", "inputs": {"correlation": "dry", "dry": True}, "return_run_details": True}
    answer = await bench.call("POST", "/actions/workflows/main.yml/dispatches", json=body)
    assert answer.status_code == 200
    (run,) = await bench.finished_runs(sha)
    assert run["id"] == answer.json()["workflow_run_id"]
    jobs = (await bench.json(f"/actions/runs/{run['id']}/jobs"))["jobs"]
    assert [job["conclusion"] for job in jobs] == ["success", "skipped"]
    assert run["conclusion"] == "success"


async def test_dispatch_refuses_what_github_refuses(bench: Workbench, tmp_path: Path) -> None:
    clone = await bench.clone(tmp_path / "clone")
    await clone.commit({".github/workflows/main.yml": DEPLOY, ".github/workflows/ci.yml": CI, "check.sh": "true\n"})
    await clone.push()
    cases = {
        ("nope.yml", "main", "correlation"): (404, "Not Found"),
        ("ci.yml", "main", ""): (422, "Workflow does not have 'workflow_dispatch' trigger"),
        ("main.yml", "main", ""): (422, "Required input 'correlation' not provided"),
        ("main.yml", "main", "other"): (422, 'Unexpected inputs provided: ["other"]'),
        ("main.yml", "gone", "correlation"): (422, "No ref found for: gone"),
    }
    for (name, ref, key), (status, message) in cases.items():
        body = {"ref": ref, "inputs": {key: "x"} if key else {}}
        answer = await bench.call("POST", f"/actions/workflows/{name}/dispatches", json=body)
        assert (answer.status_code, answer.json()["message"]) == (status, message)


@pytest.mark.parametrize(
    "text",
    [
        "on: push\njobs: {}\n",
        "on: push\nname: nothing\n",
        "on: push\njobs: [\n",
        "on: push\njobs:\n  a: {runs-on: x, strategy: {matrix: {v: [1]}}, steps: [{run: 'true'}]}\n",
    ],
)
async def test_a_workflow_that_cannot_run_is_a_red_run_without_jobs(
    bench: Workbench, tmp_path: Path, text: str
) -> None:
    clone = await bench.clone(tmp_path / "clone")
    sha = await clone.commit({".github/workflows/ci.yml": text})
    await clone.push()
    (run,) = await bench.finished_runs(sha)
    assert run["conclusion"] == "failure"
    assert (await bench.json(f"/actions/runs/{run['id']}/jobs"))["jobs"] == []
    suites = (await bench.json(f"/commits/{sha}/check-suites"))["check_suites"]
    assert [suite["conclusion"] for suite in suites] == ["startup_failure"]


async def test_an_unknown_action_fails_its_job_and_says_so(bench: Workbench, tmp_path: Path) -> None:
    text = "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - uses: acme/strange@v1\n      - run: echo next\n"
    clone = await bench.clone(tmp_path / "clone")
    sha = await clone.commit({".github/workflows/ci.yml": text})
    await clone.push()
    (run,) = await bench.finished_runs(sha)
    assert run["conclusion"] == "failure"
    assert "##[error]this runner has no action 'acme/strange@v1'" in await bench.job_log(run["id"])
    (job,) = (await bench.json(f"/actions/runs/{run['id']}/jobs"))["jobs"]
    assert [step["conclusion"] for step in job["steps"]] == ["success", "failure", "skipped", "success"]


async def test_setup_python_puts_python_and_pip_on_the_path(bench: Workbench, tmp_path: Path) -> None:
    text = """
on: push
jobs:
  a:
    runs-on: ubuntu-latest
    timeout-minutes: 5
    defaults: {run: {working-directory: app}}
    steps:
      - uses: actions/checkout@v4
      - uses: actions/cache@v4
        id: cache
        with: {path: x, key: "k-${{ hashFiles('**/*.txt') }}"}
      - uses: actions/setup-python@v5
        with: {python-version: "3.11"}
      - if: steps.cache.outputs.cache-hit != 'true'
        run: python -m pip --version && pip --version && cat here.txt
      - name: always
        if: always()
        shell: python
        run: print("job", "${{ job.status }}")
"""
    clone = await bench.clone(tmp_path / "clone")
    sha = await clone.commit({".github/workflows/ci.yml": text, "app/here.txt": "found me\n"})
    await clone.push()
    (run,) = await bench.finished_runs(sha)
    log = await bench.job_log(run["id"])
    assert run["conclusion"] == "success", log
    assert log.count("python 3.") == 2
    assert "found me" in log
    assert "job success" in log


async def test_cancel_ends_the_processes_and_runs_the_steps_that_always_run(bench: Workbench, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    text = (
        "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n"
        f"      - run: sleep 300 & touch {marker} && wait\n      - if: always()\n        run: echo cleaned up\n"
    )
    clone = await bench.clone(tmp_path / "clone")
    sha = await clone.commit({".github/workflows/ci.yml": text})
    await clone.push()

    async def started() -> bool | None:
        return marker.exists() or None

    await until(started)
    (run,) = (await bench.json("/actions/runs"))["workflow_runs"]
    assert (await bench.call("POST", f"/actions/runs/{run['id']}/cancel")).status_code == 202
    (run,) = await bench.finished_runs(sha)
    assert run["conclusion"] == "cancelled"
    assert "cleaned up" in await bench.job_log(run["id"])
    assert (await bench.call("POST", f"/actions/runs/{run['id']}/cancel")).status_code == 409
