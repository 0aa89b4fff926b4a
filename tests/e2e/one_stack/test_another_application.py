"""An application the platform has never heard of, with other tokens: nothing of the demo is built in.

The first on its stack: what the model counted is compared with what was booked.
"""

from __future__ import annotations

from pathlib import Path

import httpx
import psutil
import pytest
import pytest_asyncio

from local_stack.demo.play import Play
from local_stack.demo.report import Report
from local_stack.demo.scenario import load_scenario
from local_stack.testing import Bench, eventually
from local_stack.view import View
from shared.contracts.run_machine import RunState
from shared.contracts.topology import RUN_EVENTS
from shared.contracts.vocabulary import TaskType, WorkerType
from shared.runtime.settings import find_repository
from shared.testing.waits import await_stream_completion

pytestmark = pytest.mark.timeout(300)
SCENARIO, SCRIPT = load_scenario(Path(__file__).parent / "scenarios" / "unit-converter.yaml")
APP = "unit-converter"
LINE_OF_THE_CODE = "+MILES_PER_KILOMETRE = 0.621371"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def report(bench: Bench) -> Report:
    """The scenario, played once for the module."""
    assert SCRIPT is not None
    await bench.put_script(SCRIPT)
    return await Play(bench.stack, bench.bus, View(), SCENARIO).run()


async def test_its_own_checks_hold_on_its_address(report: Report) -> None:
    for check in report.checks:
        print("ok " if check.ok else "BAD", check.name, check.detail)
    assert [check for check in report.checks if not check.ok] == []
    named = {check.name for message in SCENARIO.messages for check in message.checks}
    assert named <= {check.name for check in report.checks}


async def test_tokens_are_the_sum_of_what_the_model_answered(bench: Bench, report: Report) -> None:
    usages = [recording["usage"] for recording in await bench.recordings()]
    summed = {
        "input": sum(usage["input_tokens"] for usage in usages),
        "output": sum(usage["output_tokens"] for usage in usages),
        "cache_read": sum(usage["cache_read_input_tokens"] for usage in usages),
        "cache_write": sum(usage["cache_creation_input_tokens"] for usage in usages),
    }
    print("tokens:", summed)
    assert report.tokens == summed
    assert summed["input"] == 1207 + 1409 + 2003 + 2711 + 731 + 731 + 3301
    assert summed["cache_read"] == summed["cache_write"] == 311


async def test_the_timeline_is_the_run_events_as_stored_and_as_published(bench: Bench, report: Report) -> None:
    assert len(report.run_ids) == 2
    for run_id in report.run_ids:
        stored = [(event.seq, event.type) for event in await bench.api.list_events(run_id)]
        published = [(event.seq, event.type) for event in await await_stream_completion(bench.bus, run_id)]
        shown = [(entry.seq, entry.type) for entry in report.timeline if entry.run.endswith(run_id[:8])]
        print(run_id, len(stored), "events")
        assert [seq for seq, _ in stored] == list(range(1, len(stored) + 1))
        assert shown == stored == published
    assert (await bench.bus.stats(RUN_EVENTS)).length >= len(report.timeline)


async def test_the_reviewer_read_the_real_diff(bench: Bench, report: Report) -> None:
    prompts = [str(entry["request"]) for entry in await bench.recordings() if entry["stage"] == "review"]
    assert prompts
    assert any(LINE_OF_THE_CODE in prompt and "+CREATE TABLE conversions" in prompt for prompt in prompts)


def test_the_template_knows_no_application() -> None:
    template = find_repository() / "services" / "scaffolder" / "src" / "scaffolder" / "template"
    words = ("guest", "visitor", "statistic", "kilomet", "unit-converter", "sign the")
    files = [path for path in template.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert len(files) > 20
    found = [(path.name, word) for path in files for word in words if word in path.read_text(errors="replace").lower()]
    assert found == []


async def test_the_running_release_is_the_merged_commit_and_no_workspace(bench: Bench, report: Report) -> None:
    runs = await bench.api.list_runs()
    engineering = next(run for run in runs if run.kind is TaskType.ENGINEERING and run.state is RunState.COMPLETED)
    merge_sha = engineering.facts.merge_sha
    developers = [worker.id for worker in await bench.api.list_workers() if worker.worker_type is WorkerType.DEVELOPER]
    assert developers

    async def gone() -> bool | None:
        left = [name for name in developers if (bench.home / "workers" / name).exists()]
        return None if left else True

    await eventually(gone, 30, "the end of the developer's workspace")
    app = (await bench.apps())[APP]
    folder = psutil.Process(app["pid"]).cwd()
    print(app, folder)
    assert app["sha"] == merge_sha
    assert str(merge_sha) in folder
    assert Path(folder).is_relative_to(bench.stack.layout.server)
    assert (Path(folder) / "app" / "routers" / "converter.py").is_file()
    async with httpx.AsyncClient(base_url=report.url) as client:
        assert (await client.get("/version")).json() == {"sha": merge_sha}


async def test_what_was_posted_outlives_the_process(bench: Bench, report: Report) -> None:
    before = (await bench.apps())[APP]
    async with httpx.AsyncClient(base_url=report.url) as client:
        page = (await client.get("/")).text
        assert "42.195 km are 26.219 miles" in page
        await bench.restart_app(APP)

        async def answers() -> str | None:
            try:
                return (await client.get("/")).text
            except httpx.TransportError:
                return None

        assert await eventually(answers, 20, "an answer of the restarted application") == page
    after = (await bench.apps())[APP]
    print("pid", before["pid"], "→", after["pid"])
    assert after["pid"] != before["pid"]
    assert after["sha"] == before["sha"]
