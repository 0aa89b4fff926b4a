"""Executes one run: its jobs in the order of their needs, and its conclusion."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from emulators.github.errors import EmulatorError, WorkflowError
from emulators.github.events import workflow_text
from emulators.github.models import Job, Repository, WorkflowRun
from emulators.github.runner.concurrency import Turns
from emulators.github.runner.contexts import NeedResult, as_values, github_context, needs_context, status_functions
from emulators.github.runner.expressions import Scope, condition_tree, interpolate, resolve
from emulators.github.runner.functions import FUNCTIONS
from emulators.github.runner.job_log import JobLog
from emulators.github.runner.jobs import JobExecution, RunnerParts
from emulators.github.runner.values import Value, truthy
from emulators.github.runner.workflow import JobSpec, Workflow, parse_workflow


@dataclass
class RunExecution:
    """One run; set `cancelled` to end it early."""

    parts: RunnerParts
    run_id: int
    slots: asyncio.Semaphore
    turns: Turns
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def execute(self) -> None:
        """Run it to its conclusion."""
        actions = self.parts.actions
        run = actions.run(self.run_id)
        repository = self.parts.repositories.get(run.repository_id)
        text = await workflow_text(self.parts.bare(repository), run.head_sha, run.path)
        try:
            workflow = parse_workflow(run.path, text or "")
            group = self._group(workflow, run, repository)
        except EmulatorError:
            actions.set_run(run.id, "completed", "failure")
            return
        if group is None:
            await self._execute(run, repository, workflow)
            return
        name, cancel_in_progress = group
        if not await self.turns.take(name, run.id, self.cancelled, cancel_in_progress=cancel_in_progress):
            actions.set_run(run.id, "completed", "cancelled")
            return
        try:
            await self._execute(run, repository, workflow)
        finally:
            self.turns.give_back(name)

    async def _execute(self, run: WorkflowRun, repository: Repository, workflow: Workflow) -> None:
        actions = self.parts.actions
        scope = Scope(self._contexts(run, repository, {}), FUNCTIONS)
        with actions.database.transaction():
            if not actions.jobs(run.id):
                actions.add_jobs(run.id, [(spec.key, _name(spec, scope)) for spec in workflow.jobs])
            actions.set_run(run.id, "in_progress")
        jobs = {job.key: job for job in actions.jobs(run.id)}
        tasks: dict[str, asyncio.Task[NeedResult]] = {}
        async with asyncio.TaskGroup() as group:
            for spec in _in_order(workflow.jobs):
                needed = {key: tasks[key] for key in spec.needs}
                work = self._job(run, repository, workflow, spec, jobs[spec.key], needed)
                tasks[spec.key] = group.create_task(work)
        results = {task.result().result for task in tasks.values()}
        conclusion = next((name for name in ("failure", "cancelled") if name in results), "success")
        if results == {"skipped"}:
            conclusion = "skipped"
        actions.set_run(run.id, "completed", "cancelled" if self.cancelled.is_set() else conclusion)

    async def _job(
        self,
        run: WorkflowRun,
        repository: Repository,
        workflow: Workflow,
        spec: JobSpec,
        job: Job,
        needed: Mapping[str, asyncio.Task[NeedResult]],
    ) -> NeedResult:
        needs = {key: await task for key, task in needed.items()}
        decision = self._decide(run, repository, spec, job, needs)
        if decision is None:
            async with self.slots:
                if not self.cancelled.is_set():
                    execution = JobExecution(self.parts, run, repository, workflow, spec, job, needs, self.cancelled)
                    return await execution.execute()
            decision = "cancelled"
        self.parts.actions.finish_job(job.id, decision)
        return NeedResult(decision, {})

    def _decide(
        self, run: WorkflowRun, repository: Repository, spec: JobSpec, job: Job, needs: Mapping[str, NeedResult]
    ) -> str | None:
        """Return the conclusion of a job that does not run, None for one that does."""
        results = {need.result for need in needs.values()}
        functions = status_functions(
            lambda: results <= {"success"} and not self.cancelled.is_set(),
            lambda: "failure" in results,
            self.cancelled.is_set,
        )
        scope = Scope(self._contexts(run, repository, needs), {**FUNCTIONS, **functions})
        try:
            wanted = truthy(condition_tree(spec.condition).evaluate(scope))
        except EmulatorError as error:
            log = JobLog(self.parts.log_path(job.id))
            log.error(f"jobs.{spec.key}.if: {error}")
            log.close()
            return "failure"
        if wanted:
            return None
        return "cancelled" if self.cancelled.is_set() else "skipped"

    def _contexts(self, run: WorkflowRun, repository: Repository, needs: Mapping[str, NeedResult]) -> dict[str, Value]:
        variables = self.parts.secrets.variables(repository.id)
        return {
            "github": github_context(run, repository, self.parts.actor),
            "inputs": as_values(run.inputs),
            "vars": {entry.name: entry.value for entry in variables},
            "needs": needs_context(needs),
        }

    def _group(self, workflow: Workflow, run: WorkflowRun, repository: Repository) -> tuple[str, bool] | None:
        if workflow.concurrency is None:
            return None
        scope = Scope(self._contexts(run, repository, {}), FUNCTIONS)
        name = interpolate(workflow.concurrency.group, scope).strip()
        if not name:
            raise WorkflowError("concurrency.group is empty")
        return f"{repository.id}:{name.lower()}", truthy(resolve(workflow.concurrency.cancel_in_progress, scope))


def _name(spec: JobSpec, scope: Scope) -> str:
    try:
        return interpolate(spec.name, scope)
    except EmulatorError:
        return spec.name


def _in_order(jobs: tuple[JobSpec, ...]) -> list[JobSpec]:
    ordered: list[JobSpec] = []
    waiting = list(jobs)
    while waiting:
        done = {spec.key for spec in ordered}
        ready = [spec for spec in waiting if done.issuperset(spec.needs)]
        ordered += ready
        waiting = [spec for spec in waiting if spec not in ready]
    return ordered
