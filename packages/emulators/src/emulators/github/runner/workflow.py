"""Workflow files as frozen values. Anything this runner does not carry out is refused by name, never skipped."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emulators.github.errors import ExpressionError, WorkflowError
from emulators.github.runner.expressions import check_templates, condition_tree
from emulators.github.runner.triggers import Triggers, parse_triggers
from emulators.github.runner.yaml_loader import load_yaml

WORKFLOW_KEYS = frozenset({"name", "run-name", "on", "permissions", "env", "defaults", "concurrency", "jobs"})
JOB_KEYS = frozenset(
    {"name", "runs-on", "needs", "if", "timeout-minutes", "env", "defaults", "outputs", "steps", "continue-on-error"}
    | {"permissions", "environment"}
)
STEP_KEYS = frozenset(
    {"id", "name", "if", "run", "uses", "with", "env", "working-directory", "shell", "continue-on-error"}
    | {"timeout-minutes"}
)
SHELLS = ("bash", "sh", "python")
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
DEFAULT_TIMEOUT_MINUTES = 360
DEFAULT_PERMISSIONS: Mapping[str, str] = {"contents": "read", "metadata": "read"}
ALL_PERMISSIONS = ("actions", "checks", "contents", "pull_requests", "statuses")


@dataclass(frozen=True)
class Defaults:
    """defaults.run of a workflow or job."""

    shell: str | None = None
    working_directory: str | None = None

    def over(self, outer: "Defaults") -> "Defaults":
        """Return these defaults, completed by the outer ones."""
        return Defaults(self.shell or outer.shell, self.working_directory or outer.working_directory)


@dataclass(frozen=True)
class StepSpec:
    """One step: either run or uses is set."""

    id: str | None
    name: str | None
    condition: str
    run: str | None
    uses: str | None
    arguments: Mapping[str, object]
    env: Mapping[str, object]
    working_directory: str | None
    shell: str | None
    continue_on_error: object
    timeout_minutes: object

    @property
    def title(self) -> str:
        """Return the name GitHub shows for a step without one."""
        if self.name is not None:
            return self.name
        if self.uses is not None:
            return f"Run {self.uses}"
        return f"Run {(self.run or '').strip().splitlines()[0]}"


@dataclass(frozen=True)
class JobSpec:
    """One job; timeout and continue-on-error may be expressions."""

    key: str
    name: str
    needs: tuple[str, ...]
    condition: str
    timeout_minutes: object
    env: Mapping[str, object]
    defaults: Defaults
    outputs: Mapping[str, object]
    permissions: Mapping[str, str]
    steps: tuple[StepSpec, ...]
    continue_on_error: object


@dataclass(frozen=True)
class Concurrency:
    """At most one run of a group at a time."""

    group: str
    cancel_in_progress: object


@dataclass(frozen=True)
class Workflow:
    """A whole file, checked."""

    path: str
    name: str
    run_name: str | None
    triggers: Triggers
    env: Mapping[str, object]
    defaults: Defaults
    concurrency: Concurrency | None
    jobs: tuple[JobSpec, ...]


def parse_workflow(path: str, text: str) -> Workflow:
    """Read and check a workflow file; raises WorkflowError saying what is wrong where."""
    document = load_yaml(text)
    root = _mapping(document, "the workflow")
    _only(root, WORKFLOW_KEYS, "the workflow")
    if "on" not in root:
        raise WorkflowError("No event triggers defined in `on`")
    _check_expressions(root)
    defaults = _defaults(root.get("defaults"), "defaults")
    jobs = _mapping(root.get("jobs") or {}, "jobs")
    if not jobs:
        raise WorkflowError("No jobs defined in `jobs`")
    permissions = _permissions(root.get("permissions"), "permissions", DEFAULT_PERMISSIONS)
    specs = tuple(_job(key, value, defaults, permissions) for key, value in jobs.items())
    _check_needs(specs)
    return Workflow(
        path=path,
        name=_text(root.get("name"), "name") or path,
        run_name=_text(root.get("run-name"), "run-name"),
        triggers=parse_triggers(root["on"]),
        env=_mapping(root.get("env") or {}, "env"),
        defaults=defaults,
        concurrency=_concurrency(root.get("concurrency")),
        jobs=specs,
    )


def triggers_of(text: str) -> Triggers | None:
    """Return the triggers of a file that may be broken elsewhere; None when not even they can be read."""
    try:
        root = _mapping(load_yaml(text), "the workflow")
        return parse_triggers(root["on"]) if "on" in root else None
    except WorkflowError:
        return None


def _job(key: str, value: object, outer: Defaults, permissions: Mapping[str, str]) -> JobSpec:
    where = f"jobs.{key}"
    if not IDENTIFIER.fullmatch(key):
        raise WorkflowError(f"The job id '{key}' is invalid")
    job = _mapping(value, where)
    _only(job, JOB_KEYS, where)
    if not job.get("runs-on"):
        raise WorkflowError(f"{where}: Required property is missing: runs-on")
    steps = job.get("steps")
    if not isinstance(steps, list) or not steps:
        raise WorkflowError(f"{where}: steps must be a list with at least one step")
    specs = tuple(_step(step, f"{where}.steps[{number}]") for number, step in enumerate(steps))
    ids = [spec.id for spec in specs if spec.id is not None]
    if len(ids) != len(set(ids)):
        raise WorkflowError(f"{where}: two steps have the same id")
    needs = job.get("needs") or []
    return JobSpec(
        key=key,
        name=_text(job.get("name"), f"{where}.name") or key,
        needs=tuple(str(name) for name in (needs if isinstance(needs, list) else [needs])),
        condition=_condition(job.get("if"), where),
        timeout_minutes=job.get("timeout-minutes", DEFAULT_TIMEOUT_MINUTES),
        env=_mapping(job.get("env") or {}, f"{where}.env"),
        defaults=_defaults(job.get("defaults"), f"{where}.defaults").over(outer),
        outputs=_mapping(job.get("outputs") or {}, f"{where}.outputs"),
        permissions=_permissions(job.get("permissions"), f"{where}.permissions", permissions),
        steps=specs,
        continue_on_error=job.get("continue-on-error", False),
    )


def _step(value: object, where: str) -> StepSpec:
    step = _mapping(value, where)
    _only(step, STEP_KEYS, where)
    run, uses = _text(step.get("run"), f"{where}.run"), _text(step.get("uses"), f"{where}.uses")
    if (run is None) == (uses is None):
        raise WorkflowError(f"{where}: a step has either run or uses")
    if run is not None and not run.strip():
        raise WorkflowError(f"{where}: run is empty")
    step_id = _text(step.get("id"), f"{where}.id")
    if step_id is not None and not IDENTIFIER.fullmatch(step_id):
        raise WorkflowError(f"{where}: the identifier '{step_id}' is invalid")
    return StepSpec(
        id=step_id,
        name=_text(step.get("name"), f"{where}.name"),
        condition=_condition(step.get("if"), where),
        run=run,
        uses=uses,
        arguments=_mapping(step.get("with") or {}, f"{where}.with"),
        env=_mapping(step.get("env") or {}, f"{where}.env"),
        working_directory=_text(step.get("working-directory"), where),
        shell=_shell(step.get("shell"), where),
        continue_on_error=step.get("continue-on-error", False),
        timeout_minutes=step.get("timeout-minutes"),
    )


def _condition(value: object, where: str) -> str:
    text = (
        {None: "success()", True: "true", False: "false"}.get(value)
        if value is None or isinstance(value, bool)
        else str(value)
    )
    assert text is not None
    try:
        condition_tree(text)
    except ExpressionError as error:
        raise WorkflowError(f"{where}.if: {error}") from error
    return text


def _concurrency(value: object) -> Concurrency | None:
    if value is None:
        return None
    if isinstance(value, str):
        return Concurrency(value, False)
    mapping = _mapping(value, "concurrency")
    _only(mapping, frozenset({"group", "cancel-in-progress"}), "concurrency")
    group = _text(mapping.get("group"), "concurrency.group")
    if not group:
        raise WorkflowError("concurrency: Required property is missing: group")
    return Concurrency(group, mapping.get("cancel-in-progress", False))


def _defaults(value: object, where: str) -> Defaults:
    outer = _mapping(value or {}, where)
    _only(outer, frozenset({"run"}), where)
    run = _mapping(outer.get("run") or {}, f"{where}.run")
    _only(run, frozenset({"shell", "working-directory"}), f"{where}.run")
    return Defaults(_shell(run.get("shell"), where), _text(run.get("working-directory"), where))


def _permissions(value: object, where: str, outer: Mapping[str, str]) -> Mapping[str, str]:
    if value is None:
        return outer
    if value in ("read-all", "write-all"):
        return {"metadata": "read", **dict.fromkeys(ALL_PERMISSIONS, str(value).removesuffix("-all"))}
    levels = _mapping(value, where)
    for name, level in levels.items():
        if level not in ("read", "write", "none"):
            raise WorkflowError(f"{where}.{name}: unexpected value '{level}'")
    return {"metadata": "read", **{name.replace("-", "_"): str(level) for name, level in levels.items()}}


def _shell(value: object, where: str) -> str | None:
    if value is not None and value not in SHELLS:
        raise WorkflowError(f"{where}: this runner has no shell '{value}', only {', '.join(SHELLS)}")
    return _text(value, where)


def _check_needs(jobs: Sequence[JobSpec]) -> None:
    by_key = {job.key: job for job in jobs}
    done: set[str] = set()
    waiting = list(jobs)
    for job in jobs:
        for name in job.needs:
            if name not in by_key:
                raise WorkflowError(f"Job '{job.key}' depends on unknown job '{name}'.")
    while waiting:
        ready = [job for job in waiting if done.issuperset(job.needs)]
        if not ready:
            raise WorkflowError(f"The jobs {', '.join(job.key for job in waiting)} need each other")
        done.update(job.key for job in ready)
        waiting = [job for job in waiting if job.key not in done]


def _check_expressions(value: object) -> None:
    if isinstance(value, str):
        try:
            check_templates(value)
        except ExpressionError as error:
            raise WorkflowError(str(error)) from error
    elif isinstance(value, Mapping):
        for item in value.values():
            _check_expressions(item)
    elif isinstance(value, list):
        for item in value:
            _check_expressions(item)


def _mapping(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise WorkflowError(f"{where} must be a mapping")
    return {str(key): item for key, item in value.items()}


def _text(value: object, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | dict | list):
        raise WorkflowError(f"{where} must be text")
    return str(value)


def _only(mapping: Mapping[str, object], allowed: frozenset[str], where: str) -> None:
    unknown = [key for key in mapping if key not in allowed]
    if unknown:
        raise WorkflowError(f"{where}: this runner does not support: {', '.join(unknown)}")
