"""While a worker works nobody waits: langgraph can be gone from the question to long after the answer."""

from __future__ import annotations

import pytest

from local_stack.testing import Bench, Work, eventually, result, script, write
from local_stack.testing.applications import answering
from shared.contracts.queues.workers import DeveloperWorkerOutput
from shared.contracts.run_machine import RunState
from shared.contracts.topology import DEVELOPER_OUTPUT
from shared.contracts.vocabulary import Stage, TaskType, WaitKind
from shared.testing.waits import wait_for_run_completion

pytestmark = pytest.mark.timeout(240)
DELAY = 4.0
WORK = Work(
    mark="patience is a virtue",
    project="patient-app",
    code=[
        (
            write(answering("patience")),
            result(summary="It answers", commit_message="Answer").after(DELAY),
        )
    ],
)


async def test_a_run_completes_although_langgraph_was_away_when_the_worker_finished(bench: Bench) -> None:
    await bench.put_script(script([WORK]))
    chat = await bench.conversation()
    await chat.say(WORK.wish)
    run = await bench.run_of(chat, TaskType.ENGINEERING)
    await bench.until_node(run.id, "await_code")

    async def released() -> bool | None:
        return True if (await bench.api.get_run(run.id)).wait_kind is WaitKind.WORKER_OUTPUT else None

    await eventually(released, 10, "a run that only waits")
    waiting = await bench.api.get_run(run.id)
    print("waits for", waiting.wait_kind, waiting.wait_key, "lease:", waiting.lease_owner, "wakes at", waiting.wake_at)
    assert waiting.lease_owner is None
    assert waiting.wake_at is not None

    spec = await bench.remove("langgraph")

    async def coded() -> DeveloperWorkerOutput | None:
        entries = await bench.bus.read(DEVELOPER_OUTPUT)
        found = [output for _, output in entries if output.run_id == run.id and output.stage is Stage.CODE]
        return found[0] if found else None

    output = await eventually(coded, 60, "the worker's answer while langgraph is away")
    print("the worker answered", output.status, output.commit_sha)
    assert (await bench.api.get_run(run.id)).state is RunState.CODING
    events_before = len(await bench.api.list_events(run.id))

    await bench.add(spec)
    done = await wait_for_run_completion(bench.api, run.id, 90)
    assert done.state is RunState.COMPLETED
    assert done.code_attempts == 1
    assert len(await bench.api.list_events(run.id)) > events_before
    url = await chat.link(90)
    answer = (await bench.http.get(f"{url}answer")).json()
    print(url, answer)
    assert answer == {"answer": "patience"}
    await bench.until_nothing_pends()
