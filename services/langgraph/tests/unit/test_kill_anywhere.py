"""Kill the process after any single call it makes: the run completes, and every effect is there once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest

from agent_graphs.checkpoints import MemoryCheckpoints
from agent_graphs.testing import World
from shared.clients.errors import NotFound
from shared.contracts.dto.work import RunDTO, TaskDTO
from shared.contracts.run_machine import TERMINAL_STATES, RunState
from shared.contracts.topology import DEPLOY_QUEUE, DEVELOPER_OUTPUT
from shared.contracts.vocabulary import RunEventType, Stage, TaskType, WaitKind

CALLS, SAMPLE = 160, 7


class Killed(BaseException):
    """The process is gone."""


class Fate:
    """Lets the process live for so many calls; afterwards nothing it does has an effect."""

    def __init__(self, calls: int | None) -> None:
        self.left = calls
        self.made = 0
        self.is_dead = False

    def mortal(self, thing: Any) -> Any:
        return _Mortal(thing, self)

    async def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.is_dead:
            raise Killed
        result = await method(*args, **kwargs)
        self.made += 1
        if self.left is not None and self.made >= self.left:
            self.is_dead = True
            raise Killed
        return result


class _Mortal:
    """Passes every call on, through fate."""

    def __init__(self, thing: Any, fate: Fate) -> None:
        self._thing, self._fate = thing, fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._thing, name)
        if name.startswith("_") or not callable(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._fate.call(found, *args, **kwargs)

        return call


class MortalCheckpoints(MemoryCheckpoints):
    """Checkpoints whose writes count as calls of the process."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate
        put, put_writes = self._saver.aput, self._saver.aput_writes

        async def aput(*args: Any, **kwargs: Any) -> Any:
            return await fate.call(put, *args, **kwargs)

        async def aput_writes(*args: Any, **kwargs: Any) -> Any:
            return await fate.call(put_writes, *args, **kwargs)

        vars(self._saver).update(aput=aput, aput_writes=aput_writes)

    def survive(self) -> None:
        """Belong to the next process, which is not killed."""
        self._fate.is_dead, self._fate.left = False, None


class Others:
    """Everybody else: each answers what the run waits for, once per request, as the real ones do."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: dict[str, Any] = {}

    async def play(self, task: TaskDTO) -> RunDTO:
        """Answer until the run is final, under whatever process lives."""
        for _ in range(60):
            run = await self.run_of(task)
            if run is not None and run.state in TERMINAL_STATES:
                return run
            try:
                await self._move(task, run)
            except (Killed, BaseExceptionGroup):
                self._restart()
        raise AssertionError("the run does not end")

    def _restart(self) -> None:
        mortal = cast(MortalCheckpoints, self.world.checkpoints)
        mortal.survive()
        self.world.clock.advance(31)

    async def run_of(self, task: TaskDTO) -> RunDTO | None:
        runs = await self.world.api.list_runs(task_id=task.id)
        return runs[0] if runs else None

    async def _move(self, task: TaskDTO, run: RunDTO | None) -> None:
        await self.world.pump()
        if run is None or run.wait_kind is None or run.wait_kind is WaitKind.TIMER:
            await self.world.tick(11)
            await self.world.announce(task)
        elif run.wait_kind is WaitKind.WORKER_CREATED:
            await self.world.answer_worker()
        elif run.wait_kind is WaitKind.CHECKS:
            self.world.github.set_check(str(run.wait_key))
            await self.world.tick(16)
        else:
            await self._answer_turn(run)

    async def _answer_turn(self, run: RunDTO) -> None:
        worker = f"w-{run.id}-worker-1"
        inputs = await self.world.inputs(worker)
        if not inputs or run.wait_key not in [item.request_id for item in inputs]:
            await self.world.tick(61)
            return
        request = next(item for item in inputs if item.request_id == run.wait_key)
        if request.request_id not in self.answers:
            self.answers[request.request_id] = self.world.output_for(request, worker)
        await self.world.bus.publish(DEVELOPER_OUTPUT, self.answers[request.request_id])
        await self.world.pump()
        await self.world.tick(61)


def mortal_world(fate: Fate) -> tuple[World, World]:
    """Return the world of the others and, over the same stores, the process that is to be killed."""
    outside = World()
    checkpoints = MortalCheckpoints(fate)
    inside = outside.replica(
        bus=fate.mortal(outside.bus),
        github=fate.mortal(outside.github),
        checkpoints=checkpoints,
        shared_api=fate.mortal(outside.api),
    )
    return outside, inside


async def live(calls: int | None) -> tuple[World, RunDTO, Fate]:
    fate = Fate(calls)
    outside, inside = mortal_world(fate)
    task = await outside.new_task(await outside.new_project())
    others = Others(outside)
    others.world.driver, others.world.consumers, others.world.poller = inside.driver, inside.consumers, inside.poller
    outside.checkpoints = inside.checkpoints
    try:
        await outside.announce(task)
    except (Killed, BaseExceptionGroup):
        others._restart()
    run = await others.play(task)
    await outside.pump()
    return outside, run, fate


async def assert_once(world: World, run: RunDTO) -> None:
    """Every effect of a completed run is there, and none twice."""
    assert run.state is RunState.COMPLETED, run.reason
    repository = world.github.repositories["acme/notes"]
    assert len(repository.pulls) == 1
    assert sum(name == "merge_pull" for name, _ in world.github.calls) >= 1
    assert len([task for task in await world.api.list_tasks() if task.type is TaskType.DEPLOY]) == 1
    assert {command.request_id for command in await world.creations()} == {f"{run.id}:worker:1"}
    assert set(await world.deletions()) == {f"w-{run.id}-worker-1"}
    assert len(await world.api.list_executions(run_id=run.id)) == 3
    assert {item.request_id for item in await world.inputs(f"w-{run.id}-worker-1")} == {
        f"{run.id}:{stage.value}:1" for stage in (Stage.PLAN, Stage.CODE, Stage.TEST, Stage.REVIEW)
    }
    events = await world.api.list_events(run.id)
    assert events[-1].type is RunEventType.RUN_FINISHED
    changes = Counter(event.payload.event for event in events if event.type is RunEventType.STATE_CHANGED)
    assert set(changes.values()) == {1}
    keyed = Counter((event.type, event.payload.node, event.payload.attempt) for event in events if event.payload.node)
    assert set(keyed.values()) == {1}
    assert run.code_attempts == 1


async def test_without_a_kill_every_effect_is_there_once() -> None:
    world, run, fate = await live(None)
    await assert_once(world, run)
    assert fate.made < CALLS
    assert len(await world.bus.messages(DEPLOY_QUEUE)) == 1


@pytest.mark.parametrize("calls", range(3, CALLS, SAMPLE))
async def test_a_kill_after_a_call_loses_nothing_and_repeats_nothing(calls: int) -> None:
    world, run, _ = await live(calls)
    await assert_once(world, run)


@pytest.mark.soak
@pytest.mark.parametrize("calls", [calls for calls in range(1, CALLS) if calls % SAMPLE != 3])
async def test_a_kill_after_any_other_call_neither(calls: int) -> None:
    world, run, _ = await live(calls)
    await assert_once(world, run)


async def test_the_fates_calls_reach_what_they_stand_for() -> None:
    fate = Fate(2)
    world, inside = mortal_world(fate)
    with pytest.raises(NotFound):
        await inside.api.get_run("nobody")
    await inside.api.list_runs()
    with pytest.raises(Killed):
        await inside.api.list_runs()
    with pytest.raises(Killed):
        await inside.api.list_runs()
    assert await world.api.list_runs() == []
