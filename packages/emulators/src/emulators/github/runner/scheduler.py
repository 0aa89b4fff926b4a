"""Owns the tasks of all runs: starts them, cancels them, ends them with the emulator and takes them up again."""

import asyncio
import json
import sys
from pathlib import Path

from emulators.github.runner.concurrency import Turns
from emulators.github.runner.folders import remove_tree
from emulators.github.runner.jobs import RunnerParts
from emulators.github.runner.processes import kill_leftover
from emulators.github.runner.runs import RunExecution


class Scheduler:
    """Runs submitted before `start` wait for it; runs that `stop` interrupts begin anew at the next `start`."""

    def __init__(self, parts: RunnerParts) -> None:
        self.parts = parts
        self._slots = asyncio.Semaphore(parts.settings.parallel)
        self._turns = Turns(self.cancel)
        self._executions: dict[int, RunExecution] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._cleaning: asyncio.Task[None] | None = None
        self._started = False

    async def start(self) -> None:
        """End what a killed emulator left running, then take up every unfinished run from its start."""
        actions = self.parts.actions
        for job_id, group_id, ticks in actions.processes():
            kill_leftover(group_id, ticks)
            actions.forget_processes(job_id)
        leftovers = self.parts.folders.prepare()
        self._cleaning = asyncio.create_task(_remove(leftovers))
        self._started = True
        for run in actions.unfinished_runs():
            actions.restart_run(run.id, new_attempt=False)
            self.submit(run.id)
            if run.cancelled:
                self.cancel(run.id)

    async def stop(self) -> None:
        """Kill the processes of all jobs; their runs stay unfinished in the database."""
        self._started = False
        tasks = [*self._tasks.values(), *([self._cleaning] if self._cleaning else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def submit(self, run_id: int) -> None:
        """Start a queued run as soon as there is room."""
        if not self._started or run_id in self._tasks:
            return
        execution = RunExecution(self.parts, run_id, self._slots, self._turns)
        task = asyncio.create_task(execution.execute(), name=f"run {run_id}")
        self._executions[run_id] = execution
        self._tasks[run_id] = task
        task.add_done_callback(lambda done: self._ended(run_id, done))

    def cancel(self, run_id: int) -> None:
        """Ask a run to end; its row says so first, so that a restart does not forget it."""
        self.parts.actions.cancel_run(run_id)
        execution = self._executions.get(run_id)
        if execution is not None:
            execution.cancelled.set()

    def _ended(self, run_id: int, task: asyncio.Task[None]) -> None:
        del self._tasks[run_id], self._executions[run_id]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            sys.stderr.write(json.dumps({"event": "run crashed", "run_id": run_id, "error": repr(error)}) + "\n")
            self.parts.actions.set_run(run_id, "completed", "failure")


async def _remove(paths: list[Path]) -> None:
    for path in paths:
        await asyncio.to_thread(remove_tree, path)
