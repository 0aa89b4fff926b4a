"""On a real Postgres: pause in one process and go on in another, races, stale writers, kills, flat cost of waiting."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import psycopg
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from psycopg.rows import dict_row

from agent_graphs.checkpoints import FENCE, PostgresCheckpoints, libpq_url, open_checkpoints
from agent_graphs.driver import Outcome
from agent_graphs.engineering.graph import engineering_graph
from agent_graphs.errors import CheckpointsUnavailable, LeaseLost
from agent_graphs.testing import World, worker_of
from agent_graphs.waits import Answer, Poke
from shared.contracts.run_machine import RunState
from shared.contracts.vocabulary import Stage, WaitKind

pytestmark = pytest.mark.service
ALL_STAGES = (Stage.PLAN, Stage.CODE, Stage.TEST, Stage.REVIEW)
TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "run_fences")


@pytest.fixture
async def checkpoints(database_url: str) -> AsyncIterator[PostgresCheckpoints]:
    async with open_checkpoints(database_url) as opened:
        yield opened


@pytest.fixture
def world(checkpoints: PostgresCheckpoints) -> World:
    return World(checkpoints=checkpoints)


async def rows(database_url: str, run_id: str) -> dict[str, int]:
    """Count what each table holds about a run."""
    columns = {table: "run_id" if table == "run_fences" else "thread_id" for table in TABLES}
    async with await psycopg.AsyncConnection.connect(database_url, row_factory=dict_row) as connection:
        counts = {}
        for table, column in columns.items():
            query = f"SELECT count(*) AS n FROM checkpoints.{table} WHERE {column} = %s"
            row = await (await connection.execute(query.encode(), (run_id,))).fetchone()
            counts[table] = row["n"] if row else 0
        return counts


async def test_tables_are_made_in_their_own_schema_and_again_without_harm(database_url: str) -> None:
    async with open_checkpoints(database_url), open_checkpoints(database_url) as second:
        await second.ping()
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        cursor = await connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'checkpoints'")
        assert {row[0] for row in await cursor.fetchall()} >= set(TABLES)
        cursor = await connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert await cursor.fetchone() == (0,)


async def test_replicas_that_start_together_make_the_schema_once(database_url: str) -> None:
    async def start() -> None:
        async with open_checkpoints(database_url, max_connections=2) as opened:
            await opened.ping()

    await asyncio.gather(*[start() for _ in range(4)])


def test_a_sqlalchemy_url_is_understood() -> None:
    assert libpq_url("postgresql+asyncpg://u:p@h:1/d") == "postgresql://u:p@h:1/d"
    assert libpq_url("postgresql://u@h/d?x=a+b") == "postgresql://u@h/d?x=a+b"


async def test_a_run_paused_in_one_process_goes_on_in_another(database_url: str, world: World) -> None:
    project = await world.new_project(is_scaffolded=False)
    task = await world.new_task(project)
    await world.announce(task)
    await world.answer_scaffold(project)
    worker = await world.answer_worker()
    async with open_checkpoints(database_url) as reopened:
        second = world.replica("langgraph-2", checkpoints=reopened)
        await second.answer_stages(worker, *ALL_STAGES)
        second.github.set_check(str((await second.run_of(task)).facts.head_sha))
        await second.tick()
    run = await world.run_of(task)
    assert run.state is RunState.COMPLETED
    assert await rows(database_url, run.id) == dict.fromkeys(TABLES, 0)


async def test_of_two_processes_that_get_the_same_answer_one_moves_the_run(database_url: str, world: World) -> None:
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    run = await world.run_of(task)
    (creation,) = await world.creations()
    body = {"request_id": creation.request_id, "success": True, "worker_id": "w-1", "response": "create"}
    async with open_checkpoints(database_url) as reopened:
        other = world.replica("langgraph-2", checkpoints=reopened)
        answer = Answer(creation.request_id, body)
        drives = {asyncio.create_task(one.driver.drive(run.id, answer)) for one in (world, other)}
        while (await asyncio.wait(drives, timeout=0.02))[1]:
            world.clock.advance(0.2)
        outcomes = [drive.result().outcome for drive in drives]
    assert sorted(outcomes) == [Outcome.MOVED, Outcome.UNNEEDED]
    assert [item.stage for item in await world.inputs("w-1")] == [Stage.PLAN]


async def test_a_driver_that_lost_its_lease_cannot_write_over_the_next_one(checkpoints: PostgresCheckpoints) -> None:
    await checkpoints.admit("r1", 1)
    await checkpoints.admit("r1", 2)
    with pytest.raises(LeaseLost):
        await checkpoints.admit("r1", 1)
    stale: RunnableConfig = {"configurable": {"thread_id": "r1", "checkpoint_ns": "", FENCE: 1}}
    with pytest.raises(LeaseLost):
        await checkpoints.saver.aput(stale, empty_checkpoint(), {}, {})
    stale["configurable"]["checkpoint_id"] = "x"
    with pytest.raises(LeaseLost):
        await checkpoints.saver.aput_writes(stale, [("a", 1)], "task")
    current: RunnableConfig = {"configurable": {"thread_id": "r1", "checkpoint_ns": "", FENCE: 2}}
    await checkpoints.saver.aput(current, empty_checkpoint(), {}, {})
    assert await checkpoints.saver.aget_tuple(current) is not None


async def test_a_drive_whose_lease_is_taken_half_way_leaves_the_checkpoints_alone(world: World) -> None:
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    run = await world.run_of(task)
    await world.checkpoints.admit(run.id, run.fence + 100)
    (creation,) = await world.creations()
    answer = Answer(creation.request_id, {"request_id": creation.request_id, "success": True, "worker_id": "w-1"})
    with pytest.raises(LeaseLost):
        await world.driver.drive(run.id, answer)
    assert await world.inputs("w-1") == []


async def test_a_postgres_that_is_away_is_a_named_transient_error(database_url: str) -> None:
    async with open_checkpoints(database_url) as opened:
        world = World(checkpoints=opened)
        task = await world.new_task(await world.new_project())
        await world.announce(task)
        run = await world.run_of(task)
    with pytest.raises(CheckpointsUnavailable):
        await world.driver.drive(run.id, Poke())


async def test_strict_checkpoints_hold_primitives_only(world: World, database_url: str) -> None:
    task = await world.new_task(await world.new_project())
    await world.announce(task)
    worker = await world.answer_worker()
    await world.answer_stages(worker, *ALL_STAGES)
    run = await world.run_of(task)
    saved = await world.checkpoints.saver.aget_tuple({"configurable": {"thread_id": run.id}})
    assert saved is not None
    assert_primitive(saved.checkpoint["channel_values"])


def assert_primitive(value: object) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            assert type(key) is str
            assert_primitive(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            assert_primitive(inner)
    else:
        assert value is None or type(value) in (str, int, float, bool), repr(value)


KILLED = """
import asyncio, sys
from agent_graphs.checkpoints import open_checkpoints
from agent_graphs.testing import World

async def main(url):
    async with open_checkpoints(url) as checkpoints:
        world = World(checkpoints=checkpoints)
        task = await world.new_task(await world.new_project())
        await world.announce(task)
        print((await world.run_of(task)).id, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(sys.argv[1]))
"""


async def test_the_checkpoint_of_a_process_that_was_killed_is_there_for_the_next(
    database_url: str, tmp_path: Path, checkpoints: PostgresCheckpoints
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, database_url, stdout=asyncio.subprocess.PIPE, cwd=tmp_path
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            run_id = (await process.stdout.readline()).decode().strip()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    graph = engineering_graph(checkpoints.saver)
    snapshot = await graph.aget_state({"configurable": {"thread_id": run_id}})
    (pause,) = snapshot.interrupts
    assert (pause.value["kind"], pause.value["key"]) == (WaitKind.WORKER_CREATED, f"{run_id}:worker:1")
    assert worker_of(pause.value["key"]) == f"w-{run_id}-worker-1"


@pytest.mark.parametrize(
    "count", [60, pytest.param(2_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)], id="soak")]
)
async def test_waiting_runs_cost_no_memory_of_the_process(checkpoints: PostgresCheckpoints, count: int) -> None:
    world = World(checkpoints=checkpoints)
    process = psutil.Process()

    async def pause_some(first: int, number: int) -> None:
        tasks = []
        for index in range(first, first + number):
            tasks.append(await world.new_task(await world.new_project(f"notes-{index}")))
        for task in tasks:
            await world.announce(task)

    await pause_some(0, count // 2)
    gc.collect()
    before = process.memory_info().rss
    await pause_some(count // 2, count // 2)
    gc.collect()
    grown = (process.memory_info().rss - before) / (count // 2)
    assert grown < 120_000
