"""The contexts and status functions an expression may use at each place of a workflow."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from emulators.github.models import JsonObject, Repository, WorkflowRun
from emulators.github.runner.expressions import Function, Scope
from emulators.github.runner.functions import FUNCTIONS
from emulators.github.runner.values import Value
from emulators.github.tables.actions import NewRun

RUNNER_CONTEXT: Mapping[str, Value] = {
    "os": "Linux",
    "arch": "X64",
    "name": "emulated runner",
    "environment": "self-hosted",
}


@dataclass(frozen=True)
class NeedResult:
    """What a finished job hands to those that need it."""

    result: str
    outputs: Mapping[str, str]


def github_context(run: NewRun | WorkflowRun, repository: Repository, actor: str) -> JsonObject:
    """Return the github context, token and paths of a job aside."""
    pull = run.payload.get("pull_request")
    sides = pull if isinstance(pull, dict) else {}
    stored = isinstance(run, WorkflowRun)
    return {
        "sha": run.head_sha,
        "ref": run.ref,
        "ref_name": run.ref.removeprefix("refs/heads/").removeprefix("refs/tags/").removeprefix("refs/pull/"),
        "ref_type": "tag" if run.ref.startswith("refs/tags/") else "branch",
        "head_ref": sides["head"]["ref"] if sides else "",
        "base_ref": sides["base"]["ref"] if sides else "",
        "event_name": run.event,
        "event": run.payload,
        "repository": repository.full_name,
        "repository_owner": repository.owner,
        "repository_id": str(repository.id),
        "run_id": str(run.id) if isinstance(run, WorkflowRun) else "",
        "run_number": str(run.run_number) if isinstance(run, WorkflowRun) else "",
        "run_attempt": str(run.run_attempt) if isinstance(run, WorkflowRun) else "1",
        "actor": actor,
        "triggering_actor": actor,
        "workflow": run.name,
        "server_url": run.server_url,
        "api_url": run.server_url,
        "graphql_url": f"{run.server_url}/graphql",
    } | ({} if stored else {"workflow_ref": f"{repository.full_name}/{run.path}@{run.ref}"})


def title_scope(run: NewRun, repository: Repository, actor: str) -> Scope:
    """Return what `run-name` may use: github and inputs."""
    return Scope({"github": github_context(run, repository, actor), "inputs": dict(run.inputs)}, FUNCTIONS)


def status_functions(
    success: Callable[[], bool], failure: Callable[[], bool], cancelled: Callable[[], bool]
) -> dict[str, Function]:
    """Return success(), failure(), cancelled() and always() over the given facts."""
    return {
        "success": lambda arguments: success(),
        "failure": lambda arguments: failure(),
        "cancelled": lambda arguments: cancelled(),
        "always": lambda arguments: True,
    }


def needs_context(results: Mapping[str, NeedResult]) -> dict[str, Value]:
    """Return the needs context of a job."""
    return {key: {"result": need.result, "outputs": dict(need.outputs)} for key, need in results.items()}


def as_values(values: Mapping[str, object]) -> dict[str, Value]:
    """Return a copy that expressions can index."""
    return dict(values)
