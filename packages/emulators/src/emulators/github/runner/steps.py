"""Executes the steps of one job, one after the other, and keeps their outcomes."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from emulators.github.errors import EmulatorError, StepError
from emulators.github.models import Clock, JsonObject, timestamp
from emulators.github.runner.contexts import RUNNER_CONTEXT, as_values, status_functions
from emulators.github.runner.expressions import Scope, condition_tree, interpolate, resolve
from emulators.github.runner.file_commands import read_environment, read_pairs, read_paths
from emulators.github.runner.functions import FUNCTIONS, hash_files
from emulators.github.runner.machine import Machine
from emulators.github.runner.native import ActionCall, native
from emulators.github.runner.processes import Command, Outcome
from emulators.github.runner.values import Value, to_number, truthy
from emulators.github.runner.workflow import Defaults, StepSpec
from emulators.github.tables.actions import ActionsTable

SHELL_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "bash": ("bash", "--noprofile", "--norc", "-eo", "pipefail"),
    "sh": ("sh", "-e"),
    "python": ("python3",),
}
CLEANUP_SECONDS = 300.0


@dataclass
class Steps:
    """Runs steps on a machine; status is success, failure, cancelled or timed_out."""

    machine: Machine
    actions: ActionsTable
    clock: Clock
    job_id: int
    defaults: Defaults
    contexts: Mapping[str, Value]
    cancelled: asyncio.Event
    deadline: float
    status: str = "success"
    results: dict[str, Value] = field(default_factory=dict)
    shown: list[JsonObject] = field(default_factory=list)

    async def run_all(self, specs: tuple[StepSpec, ...]) -> None:
        """Run every step whose condition holds."""
        for number, spec in enumerate(specs, start=2):
            if self.cancelled.is_set() and self.status in ("success", "failure"):
                self.status = "cancelled"
            await self._one(number, spec)

    def scope(self, env: Mapping[str, str] | None = None, *, secrets: bool = True) -> Scope:
        """Return what expressions of a step may use; a condition sees no secrets."""
        contexts = {
            **self.contexts,
            "env": as_values({**self.machine.variables, **(env or {})}),
            "steps": self.results,
            "job": {"status": "cancelled" if self.status == "timed_out" else self.status},
            "runner": {**RUNNER_CONTEXT, "temp": str(self.machine.folders.temp)},
        }
        if not secrets:
            contexts.pop("secrets")
        stopped = ("cancelled", "timed_out")
        functions = status_functions(
            lambda: self.status == "success", lambda: self.status == "failure", lambda: self.status in stopped
        )
        extra = {"hashfiles": hash_files(self.machine.folders.workspace)}
        return Scope(contexts, {**FUNCTIONS, **functions, **extra})

    def show(self, number: int, name: str, status: str, conclusion: str | None = None) -> None:
        """Write the state of one step where REST reads it."""
        now = timestamp(self.clock())
        known = next((step for step in self.shown if step["number"] == number), None)
        if known is None:
            known = {"number": number, "started_at": now, "completed_at": None}
            self.shown.append(known)
        known |= {"name": self.machine.log.masked(name), "status": status, "conclusion": conclusion}
        if conclusion is not None:
            known["completed_at"] = now
        self.actions.set_steps(self.job_id, self.shown)

    async def _one(self, number: int, spec: StepSpec) -> None:
        log = self.machine.log
        name, outcome, tolerated = spec.title, "failure", False
        outputs: dict[str, str] = {}
        try:
            if not truthy(condition_tree(spec.condition).evaluate(self.scope(secrets=False))):
                self._keep(spec, "skipped", "skipped", {})
                self.show(number, spec.title, "completed", "skipped")
                return
            env = {key: interpolate(str(value), self.scope()) for key, value in _texts(spec.env).items()}
            scope = self.scope(env)
            name = interpolate(spec.title, scope)
            tolerated = truthy(resolve(spec.continue_on_error, scope))
            self.show(number, name, "in_progress")
            outcome, outputs = await self._perform(number, spec, env, scope)
        except EmulatorError as error:
            log.error(str(error))
        conclusion = "success" if outcome == "failure" and tolerated else outcome
        self._keep(spec, outcome, conclusion, outputs)
        self.show(number, name, "completed", conclusion)
        if conclusion == "failure" and self.status == "success":
            self.status = "failure"

    def _keep(self, spec: StepSpec, outcome: str, conclusion: str, outputs: Mapping[str, str]) -> None:
        if spec.id is not None:
            self.results[spec.id] = {"outcome": outcome, "conclusion": conclusion, "outputs": as_values(outputs)}

    async def _perform(
        self, number: int, spec: StepSpec, env: Mapping[str, str], scope: Scope
    ) -> tuple[str, dict[str, str]]:
        folders = self.machine.folders
        files = {
            name: folders.exchange(f"{number}-{name.lower()}")
            for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY", "GITHUB_STATE")
        }
        paths = {name: str(path) for name, path in files.items()}
        environment = self.machine.environment(env) | paths
        timeout, of_step = self._timeout(spec, scope)
        outputs: dict[str, str] = {}
        if spec.uses is not None:
            self.machine.log.write(f"##[group]Run {spec.uses}\n##[endgroup]")
            inputs = {key: interpolate(str(value), scope) for key, value in _texts(spec.arguments).items()}
            call = ActionCall(self.machine, self.actions, number, inputs, environment, timeout)
            outputs.update(await native(spec.uses)(call))
            outcome = Outcome(0)
        else:
            outcome = await self._script(number, spec, scope, environment, timeout)
        self.machine.variables.update(read_environment(files["GITHUB_ENV"]))
        self.machine.extra_path.extend(read_paths(files["GITHUB_PATH"]))
        outputs.update(read_pairs(files["GITHUB_OUTPUT"]))
        return self._judge(outcome, of_step, timeout), outputs

    async def _script(
        self, number: int, spec: StepSpec, scope: Scope, environment: Mapping[str, str], timeout: float
    ) -> Outcome:
        text = interpolate(spec.run or "", scope)
        merged = Defaults(spec.shell, spec.working_directory).over(self.defaults)
        directory = self.machine.directory(interpolate(merged.working_directory or "", scope))
        shell = merged.shell or "bash"
        script = self.machine.folders.script(f"{number}.{'py' if shell == 'python' else 'sh'}", f"{text}\n")
        self.machine.log.write(f"##[group]Run {text.strip()}\nshell: {' '.join(SHELL_ARGUMENTS[shell])}\n##[endgroup]")
        command = Command((*SHELL_ARGUMENTS[shell], str(script)), directory, environment, timeout)
        return await self.machine.groups.run(command, self._line, stoppable=not self.cancelled.is_set())

    def _line(self, line: str) -> None:
        if line.startswith("::add-mask::"):
            self.machine.log.mask([line.removeprefix("::add-mask::")])
            return
        for level in ("error", "warning", "notice", "debug"):
            if line.startswith((f"::{level}::", f"::{level} ")):
                line = f"##[{level}]{line.split('::', 2)[2] if line.count('::') > 1 else line}"
        self.machine.log.write(line)

    def _timeout(self, spec: StepSpec, scope: Scope) -> tuple[float, bool]:
        left = self.deadline - asyncio.get_running_loop().time() if self.status != "timed_out" else CLEANUP_SECONDS
        if spec.timeout_minutes is None:
            return max(left, 0.0), False
        minutes = to_number(resolve(spec.timeout_minutes, scope))
        if math.isnan(minutes) or minutes <= 0:
            raise StepError(f"timeout-minutes is no number: {spec.timeout_minutes}")
        return (minutes * 60, True) if minutes * 60 < left else (max(left, 0.0), False)

    def _judge(self, outcome: Outcome, of_step: bool, timeout: float) -> str:
        log = self.machine.log
        if outcome.reason == "cancelled":
            log.error("The operation was canceled.")
            self.status = "cancelled"
            return "cancelled"
        if outcome.reason == "timeout":
            log.error(f"The action has timed out after {timeout / 60:.2f} minutes.")
            if not of_step:
                self.status = "timed_out"
            return "failure"
        if outcome.code:
            log.error(f"Process completed with exit code {outcome.code}.")
            return "failure"
        return "success"


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return YAML scalars as the text GitHub makes of them."""
    return {
        key: ("" if value is None else str(value).lower() if isinstance(value, bool) else str(value))
        for key, value in values.items()
    }
