"""Names, waits, journal, leases, prompts, probes, and what a drive does about bugs."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from pydantic import SecretStr
from structlog.testing import capture_logs

from agent_graphs.drive import Drive, Services
from agent_graphs.driver import Driver, Outcome
from agent_graphs.errors import LeaseLost, RunBusy, UnknownRequest
from agent_graphs.identity import attempt_token, branch_name, generated_secret, is_attempt_token, request_id, run_of
from agent_graphs.journal import Journal
from agent_graphs.leases import Leases
from agent_graphs.probe import HttpProber
from agent_graphs.prompting import clipped, stage_prompt
from agent_graphs.routing import Goto, go
from agent_graphs.state import Common, EngineeringState
from agent_graphs.steps import add_effect
from agent_graphs.testing import World
from agent_graphs.waits import Answer, Poke, Resumption, Wait, resumption
from shared.contracts.dto.work import RunDTO, TransitionRequest
from shared.contracts.run_machine import RunEventName, RunState
from shared.contracts.vocabulary import RunEventType, Stage, WaitingReason, WaitKind
from shared.testing.api import FakeApi
from shared.testing.clock import FakeClock

SECRET = SecretStr("a-secret-of-tests")


def test_request_ids_name_their_run() -> None:
    assert request_id("r1", "plan", 2) == "r1:plan:2"
    assert run_of("r1:plan:2") == "r1"
    for strange in ("plain", ":plan:1", ""):
        with pytest.raises(UnknownRequest):
            run_of(strange)


def test_attempt_tokens_follow_from_secret_and_request_alone() -> None:
    token = attempt_token(SECRET, "r1:plan:1")
    assert len(token) == 32
    assert is_attempt_token(SECRET, "r1:plan:1", token)
    assert not is_attempt_token(SECRET, "r1:plan:2", token)
    assert not is_attempt_token(SecretStr("another-secret-here"), "r1:plan:1", token)
    assert branch_name("0123456789abcdef") == "run/0123456789ab"
    assert generated_secret(SECRET, "p", "KEY") != generated_secret(SECRET, "q", "KEY")


async def any_run(world: World) -> RunDTO:
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    return await world.run_of(task)


async def test_a_wait_ends_by_its_answer_its_time_or_a_cancellation(world: World) -> None:
    run = await any_run(world)
    now = world.clock.now()
    later = now + timedelta(seconds=10)
    wait = Wait(WaitKind.WORKER_OUTPUT, "r:plan:1", later.isoformat(), fence=3)
    assert Wait.load(wait.dump()) == wait
    body = {"a": 1}
    assert resumption(wait, Answer("r:plan:1", body, 3), run, now) == Resumption("answer", body)
    assert resumption(wait, Answer("r:plan:1", body, 2), run, now) is None
    assert resumption(wait, Answer("r:plan:2", body, 3), run, now) is None
    assert resumption(wait, Poke(), run, now) is None
    assert resumption(wait, Poke(), run, later) == Resumption("due")
    cancelled = run.model_copy(update={"cancel_requested": True})
    assert resumption(wait, Answer("x", body), cancelled, now) == Resumption("cancel")


@pytest.mark.parametrize("reason", [WaitingReason.HUMAN, WaitingReason.SECRET])
async def test_a_person_may_end_a_wait_early(world: World, reason: WaitingReason) -> None:
    run = await any_run(world)
    later = (world.clock.now() + timedelta(hours=1)).isoformat()
    wait = Wait(WaitKind.TIMER, "k", later, reason)
    assert resumption(wait, Poke(), run, world.clock.now()) == Resumption("due")


async def test_a_journal_keeps_what_it_could_not_store_and_takes_nothing_after_the_end(world: World) -> None:
    run = await any_run(world)
    journal = Journal(world.api, run.id)
    journal.node_started("merge", 1)
    journal.node_started("merge", 1)
    journal.node_finished()
    journal.node_finished()
    await journal.flush()
    events = [event for event in await world.api.list_events(run.id) if event.payload.node == "merge"]
    assert [event.type for event in events] == [RunEventType.NODE_STARTED, RunEventType.NODE_FINISHED]
    before = (await world.api.get_run(run.id)).last_seq
    journal.close()
    journal.node_started("late", 1)
    await journal.flush()
    assert (await world.api.get_run(run.id)).last_seq == before


async def test_an_answer_gives_up_on_a_holder_that_never_lets_go(world: World) -> None:
    run = await any_run(world)
    held = {"lease_owner": "other", "lease_expires_at": world.clock.now() + timedelta(days=1)}
    world.api.runs[run.id] = world.api.runs[run.id].model_copy(update=held)
    leases = Leases(world.api, world.clock, "me", ttl_seconds=1)
    claiming = asyncio.create_task(leases.claim(run.id, Answer("x", {})))
    while not claiming.done():
        await asyncio.sleep(0)
        world.clock.advance(0.2)
    with pytest.raises(RunBusy):
        await claiming


async def held_drive(world: World) -> tuple[Drive, Leases]:
    leases = Leases(world.api, world.clock, "langgraph-1", ttl_seconds=30)
    claimed = await leases.claim((await any_run(world)).id, Poke())
    assert isinstance(claimed, RunDTO)
    services = Services(world.bus, world.api, world.github, world.clock, world.prober, world.policy)
    return Drive(services, claimed, Journal(world.api, claimed.id)), leases


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_lease_is_renewed_while_it_is_held_and_a_cancellation_heard(world: World) -> None:
    drive, leases = await held_drive(world)
    async with leases.kept(drive):
        await settle()
        await world.api.cancel_run(drive.run.id, "stop")
        world.clock.advance(10)
        await settle()
        assert drive.run.cancel_requested
        expires = (await world.api.get_run(drive.run.id)).lease_expires_at
        assert expires == world.clock.now() + timedelta(seconds=30)
    drive.require_lease()


async def test_a_drive_that_lost_its_lease_goes_no_further(world: World) -> None:
    drive, leases = await held_drive(world)
    async with leases.kept(drive):
        await settle()
        row = world.api.runs[drive.run.id]
        world.api.runs[row.id] = row.model_copy(update={"fence": row.fence + 1, "lease_owner": "other"})
        world.clock.advance(10)
        await settle()
    with pytest.raises(LeaseLost):
        drive.require_lease()
    with pytest.raises(LeaseLost):
        await drive.transition(RunEventName.RUN_FAILED, "late")


class BrokenApi(FakeApi):
    """Meets a bug wherever a project is read."""

    async def get_project(self, project_id: str) -> Any:
        raise ZeroDivisionError


async def test_a_run_that_meets_the_same_bug_again_and_again_is_given_up() -> None:
    clock = FakeClock()
    world = World(clock=clock, shared_api=BrokenApi(clock=clock))
    task = await world.new_task(await world.new_project(is_scaffolded=False))
    with capture_logs() as lines:
        await world.announce(task)
        while (run := await world.run_of(task)).state is not RunState.FAILED:
            await world.tick(11)
    assert run.reason == "internal_error"
    assert any(line["event"] == "run_given_up" for line in lines)


async def test_a_run_ended_by_somebody_else_is_cleared(world: World) -> None:
    run = await any_run(world)
    worker = await world.answer_worker()
    body = TransitionRequest(event=RunEventName.RUN_FAILED, fence=(await world.api.get_run(run.id)).fence, key="x")
    await world.api.transition(run.id, body)
    driven = await world.driver.drive(run.id, Poke())
    assert driven.outcome is Outcome.FINAL
    assert await world.deletions() == [worker]
    await world.driver.drive(run.id, Poke())
    assert await world.deletions() == [worker]


async def test_two_drivers_on_one_run_move_it_once(world: World) -> None:
    run = await any_run(world)
    other = world.replica("langgraph-2")
    creation = (await world.creations())[0]
    answer = {"request_id": creation.request_id, "success": True, "worker_id": "w-1", "response": "create"}
    drivers: list[Driver] = [world.driver, other.driver]
    drives = [driver.drive(run.id, Answer(creation.request_id, answer)) for driver in drivers]
    outcomes = asyncio.gather(*drives)
    while not outcomes.done():
        await asyncio.sleep(0)
        world.clock.advance(0.05)
    assert sorted(driven.outcome for driven in await outcomes) == [Outcome.MOVED, Outcome.UNNEEDED]
    assert len(await world.inputs("w-1")) == 1


def test_prompts_hold_task_and_result_form_and_dollars_in_them_are_harmless() -> None:
    state = EngineeringState(
        project_name="notes",
        title="Price in $USD ${HOME}",
        description="d",
        branch="run/1",
        base="main",
        modules=["backend"],
        files=["a.py"],
        notes=["plan attempt 1 of 3 failed"],
    )
    for stage in (Stage.PLAN, Stage.CODE, Stage.REVIEW):
        prompt = stage_prompt(stage, state, diff="+ $x")
        assert prompt.startswith(f"[stage:{stage.value}]\n")
        assert "Price in $USD ${HOME}" in prompt
        assert "<result>" in prompt
        assert "AGENTS.md" in prompt
        assert "plan attempt 1 of 3" in prompt
    assert "+ $x" in stage_prompt(Stage.REVIEW, state, diff="+ $x")
    assert clipped("abcdef", 3) == "abc\n… 3 more characters"


async def test_the_wrapper_costs_little_per_node(world: World) -> None:
    """Six nodes with and without the wrapper; the difference per node stays far below a checkpoint."""

    async def bare(state: Common) -> Goto:
        number = state["numbers"]["n"] + 1
        return go(f"n{number}" if number < 6 else END, numbers={"n": number})

    async def wrapped(state: Common, _: Drive) -> Goto:
        return await bare(state)

    drive, _ = await held_drive(world)
    plain, ours = StateGraph(Common), StateGraph(Common, context_schema=Drive)
    for number in range(6):
        plain.add_node(f"n{number}", bare)
        add_effect(ours, f"n{number}", wrapped, Common)
    for graph in (plain, ours):
        graph.add_edge(START, "n0")
    first, second = plain.compile(checkpointer=InMemorySaver()), ours.compile(checkpointer=InMemorySaver())

    async def seconds(compiled: Any, **more: Any) -> float:
        best = 60.0
        for number in range(20):
            config = {"configurable": {"thread_id": str(number)}}
            begun = time.perf_counter()
            await compiled.ainvoke({"numbers": {"n": 0}}, config, durability="exit", **more)
            best = min(best, time.perf_counter() - begun)
        return best

    overhead = (await seconds(second, context=drive) - await seconds(first)) / 6
    assert overhead < 0.002


async def test_a_probe_that_gets_no_answer_says_so_without_raising() -> None:
    prober = HttpProber(timeout_seconds=0.2)
    try:
        answer = await prober.get("127.0.0.1", 1, "/health")
    finally:
        await prober.aclose()
    assert answer.status == 0
    assert answer.error
