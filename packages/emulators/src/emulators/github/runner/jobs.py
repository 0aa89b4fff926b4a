"""Executes one job from its empty folders to its conclusion."""

import asyncio
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from emulators.github.bare import BareRepository
from emulators.github.errors import EmulatorError, WorkflowError
from emulators.github.git import Git
from emulators.github.models import Clock, Job, Repository, WorkflowRun
from emulators.github.runner.contexts import NeedResult, as_values, github_context, needs_context
from emulators.github.runner.expressions import Scope, interpolate, resolve
from emulators.github.runner.folders import JobFolders, RunnerFolders, remove_tree
from emulators.github.runner.functions import FUNCTIONS
from emulators.github.runner.job_log import JobLog
from emulators.github.runner.machine import Machine
from emulators.github.runner.processes import ProcessGroups
from emulators.github.runner.steps import Steps
from emulators.github.runner.values import Value, to_number, truthy
from emulators.github.runner.workflow import JobSpec, Workflow
from emulators.github.settings import RunnerSettings
from emulators.github.tables.actions import ActionsTable
from emulators.github.tables.repositories import RepositoryTable
from emulators.github.tables.secrets import SecretTable
from emulators.github.tables.tokens import TokenTable


@dataclass(frozen=True)
class RunnerParts:
    """Everything the runner works with; built once by the composition root."""

    settings: RunnerSettings
    passed_environment: Mapping[str, str]
    actor: str
    clock: Clock
    git: Git
    repositories: RepositoryTable
    actions: ActionsTable
    secrets: SecretTable
    tokens: TokenTable
    bare: Callable[[Repository], BareRepository]
    folders: RunnerFolders
    logs: Path
    artifacts: Path

    def log_path(self, job_id: int) -> Path:
        """Return where a job's log is."""
        return self.logs / f"{job_id}.txt"


@dataclass(frozen=True)
class JobExecution:
    """One job of one run, with the results of the jobs it needs."""

    parts: RunnerParts
    run: WorkflowRun
    repository: Repository
    workflow: Workflow
    spec: JobSpec
    job: Job
    needs: Mapping[str, NeedResult]
    cancelled: asyncio.Event

    async def execute(self) -> NeedResult:
        """Run the job; its row carries the conclusion, the result is what later jobs see."""
        parts = self.parts
        folders = parts.folders.job(self.job.id, self.repository.name)
        log = JobLog(parts.log_path(self.job.id))
        groups = ProcessGroups(
            parts.folders.account, self.cancelled,
            lambda group, ticks: parts.actions.note_process(self.job.id, group, ticks),
        )  # fmt: skip
        token, _ = parts.tokens.issue(
            self.repository.owner, frozenset({self.repository.id}), self.spec.permissions, quiet=True
        )
        try:
            result = await self._on_machine(folders, log, groups, token)
        finally:
            groups.kill_all()
            parts.tokens.revoke(token)
            log.close()
        parts.actions.forget_processes(self.job.id)
        await asyncio.to_thread(remove_tree, folders.root)
        return result

    async def _on_machine(self, folders: JobFolders, log: JobLog, groups: ProcessGroups, token: str) -> NeedResult:
        contexts = self._contexts(token, folders)
        secrets = contexts["secrets"]
        assert isinstance(secrets, dict)
        log.mask(str(value) for value in secrets.values())
        parts, scope = self.parts, Scope(contexts, FUNCTIONS)
        parts.actions.start_job(self.job.id, self._name(scope))
        steps: Steps | None = None
        outputs: dict[str, str] = {}
        status = "failure"
        try:
            machine = self._machine(folders, log, groups, token)
            steps = self._steps(machine, contexts, scope)
            await steps.run_all(self.spec.steps)
            status = steps.status
            outputs = self._outputs(steps, log)
        except EmulatorError as error:
            status = "failure"
            log.error(str(error))
        tolerated = status == "failure" and truthy(resolve(self.spec.continue_on_error, scope))
        if steps is not None:
            steps.show(len(self.spec.steps) + 2, "Complete job", "completed", "success")
        log.write("Cleaning up orphan processes")
        parts.actions.finish_job(self.job.id, status)
        return NeedResult("success" if tolerated else "failure" if status == "timed_out" else status, outputs)

    def _name(self, scope: Scope) -> str:
        return interpolate(self.spec.name, scope)

    def _contexts(self, token: str, folders: JobFolders) -> dict[str, Value]:
        github = github_context(self.run, self.repository, self.parts.actor)
        github |= {"token": token, "job": self.spec.key, "workspace": str(folders.workspace)}
        variables = self.parts.secrets.variables(self.repository.id)
        return {
            "github": github,
            "inputs": as_values(self.run.inputs),
            "secrets": {**self.parts.secrets.opened(self.repository), "GITHUB_TOKEN": token},
            "vars": {entry.name: entry.value for entry in variables},
            "needs": needs_context(self.needs),
        }

    def _machine(self, folders: JobFolders, log: JobLog, groups: ProcessGroups, token: str) -> Machine:
        parts, settings = self.parts, self.parts.settings
        inherited = dict(parts.passed_environment)
        search_path = ":".join([*map(str, settings.path), inherited.pop("PATH", os.defpath)])
        log.write(f"Current runner: uid {parts.folders.account.uid if parts.folders.account else os.getuid()}")
        log.write(f"Job is about {self.repository.full_name} at {self.run.head_sha}")
        return Machine(
            folders=folders,
            groups=groups,
            log=log,
            bare=parts.bare(self.repository),
            run=self.run,
            repository=self.repository,
            token=token,
            artifacts=parts.artifacts,
            tools=parts.folders.tools,
            fixed=self._fixed(folders),
            search_path=search_path,
            variables={**inherited, "UV_CACHE_DIR": str(parts.folders.uv_cache), **settings.environment},
        )

    def _fixed(self, folders: JobFolders) -> dict[str, str]:
        github = github_context(self.run, self.repository, self.parts.actor)
        names = (
            "sha", "ref", "ref_name", "ref_type", "head_ref", "base_ref", "event_name", "repository",
            "repository_owner", "repository_id", "run_id", "run_number", "run_attempt", "actor", "triggering_actor",
            "workflow", "server_url", "api_url", "graphql_url",
        )  # fmt: skip
        event = folders.script(
            "event.json", interpolate("${{ toJSON(github.event) }}", Scope({"github": github}, FUNCTIONS))
        )
        return {
            **{f"GITHUB_{name.upper()}": str(github[name]) for name in names},
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_JOB": self.spec.key,
            "GITHUB_WORKSPACE": str(folders.workspace),
            "CI": "true",
            "HOME": str(folders.home),
            "TMPDIR": str(folders.temp),
            "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64",
            "RUNNER_NAME": "emulated runner",
            "RUNNER_ENVIRONMENT": "self-hosted",
            "RUNNER_TEMP": str(folders.temp),
            "RUNNER_TOOL_CACHE": str(self.parts.folders.tools),
            "RUNNER_WORKSPACE": str(folders.workspace.parent),
            **({"USER": self.parts.folders.account.name} if self.parts.folders.account else {}),
        }

    def _steps(self, machine: Machine, contexts: Mapping[str, Value], scope: Scope) -> Steps:
        for env in (self.workflow.env, self.spec.env):
            for name, value in env.items():
                machine.variables[name] = interpolate(_scalar(value), scope)
        minutes = to_number(resolve(self.spec.timeout_minutes, scope))
        if math.isnan(minutes) or minutes <= 0:
            raise WorkflowError(f"timeout-minutes is no number: {self.spec.timeout_minutes}")
        deadline = asyncio.get_running_loop().time() + minutes * 60
        steps = Steps(
            machine, self.parts.actions, self.parts.clock, self.job.id, self.spec.defaults,
            contexts, self.cancelled, deadline,
        )  # fmt: skip
        steps.show(1, "Set up job", "completed", "success")
        return steps

    def _outputs(self, steps: Steps, log: JobLog) -> dict[str, str]:
        outputs: dict[str, str] = {}
        for name, value in self.spec.outputs.items():
            text = interpolate(_scalar(value), steps.scope())
            if log.masked(text) != text:
                log.write(f"##[warning]Skip output '{name}' since it may contain secret.")
            else:
                outputs[name] = text
        return outputs


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def safe_file_name(name: str) -> str:
    """Return a job's name as the archive of its run's logs has it."""
    return re.sub(r"[^\w .()-]", "", name) or "job"
