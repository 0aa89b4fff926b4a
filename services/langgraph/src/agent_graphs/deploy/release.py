"""Before the workflow: what to deploy, with which variables, on which server and port."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import JsonValue, SecretStr

from agent_graphs.deploy.environment import Origin, Variable, read_variables
from agent_graphs.drive import Drive
from agent_graphs.identity import generated_secret
from agent_graphs.parking import PARKED, park
from agent_graphs.routing import Goto, failed, go
from agent_graphs.state import DeployState
from shared.clients.errors import Conflict, NotFound
from shared.contracts.dto.infrastructure import AllocationCreate, ServerDTO
from shared.contracts.run_machine import RunEventName
from shared.contracts.vocabulary import ServerStatus, WaitingReason

ENV_EXAMPLE = ".env.example"


async def load(state: DeployState, drive: Drive) -> Goto:
    """Read task and project; what is deployed is the head of the default branch."""
    api = drive.services.api
    try:
        task = await api.get_task(drive.run.task_id)
        project = await api.get_project(drive.run.project_id)
    except NotFound as error:
        return failed("project_deleted", str(error))
    repo = project.repo_full_name
    sha = await drive.services.github.get_ref(repo, project.default_branch) if repo else None
    if not repo or sha is None:
        return failed("nothing_to_deploy", f"project {project.name} has no commit on {project.default_branch} yet")
    return go(
        "analyze_env",
        project_name=project.name,
        repo=repo,
        base=project.default_branch,
        parent_task_id=task.parent_task_id,
        sha=sha,
        good_sha=project.deployed_sha if project.deployed_url else None,
        attempt=1,
        dispatches=0,
    )


async def analyze_env(state: DeployState, drive: Drive) -> Goto:
    await drive.transition(RunEventName.START_ANALYSIS, "START_ANALYSIS")
    repo = state["repo"]
    assert repo is not None
    text = await drive.services.github.get_content(repo, ENV_EXAMPLE, state["sha"])
    variables = read_variables(text or "")
    await drive.transition(RunEventName.ENV_ANALYZED, "ENV_ANALYZED")
    return go("resolve_secrets", variables=[variable.dump() for variable in variables])


async def resolve_secrets(state: DeployState, drive: Drive) -> Goto:
    """Store what the platform knows as repository secrets; wait for what only a person knows.

    A variable of the user counts as given once its name is in the setting `secrets:{project_id}` (names, no values).
    """
    repo = state["repo"]
    assert repo is not None
    variables = _variables(state)
    missing = _missing(variables, await _given(drive))
    if missing:
        message = f"These secrets are missing: {', '.join(missing)}. Store them as Actions secrets of {repo}."
        return await park(state, drive, "resolve_secrets", WaitingReason.SECRET, message)
    for variable in variables:
        value = _value(drive, variable)
        if value is not None:
            await drive.services.github.put_secret(repo, variable.name, value)
    await drive.transition(RunEventName.SECRETS_RESOLVED, "SECRETS_RESOLVED")
    return go("readiness", numbers={**state.get("numbers", {}), PARKED: 0})


async def readiness(state: DeployState, drive: Drive) -> Goto:
    """Pick an active server that takes releases: the one the project is on, else the least used."""
    api = drive.services.api
    servers = [server for server in await api.list_servers(status=ServerStatus.ACTIVE) if server.deploy_url]
    if not servers:
        message = "no active server takes releases at the moment"
        return await park(state, drive, "readiness", WaitingReason.INFRASTRUCTURE, message)
    allocations = await api.list_allocations()
    own = {row.server_handle for row in allocations if row.project_id == drive.run.project_id}
    used = [row.server_handle for row in allocations]
    chosen = min(servers, key=lambda server: (server.handle not in own, used.count(server.handle), server.handle))
    return go("allocate", server_handle=chosen.handle)


async def allocate(state: DeployState, drive: Drive) -> Goto:
    """Take the project's port and store where the server takes releases."""
    api, repo = drive.services.api, state["repo"]
    assert repo is not None
    server = await api.get_server(state["server_handle"])
    try:
        place = await api.allocate(AllocationCreate(project_id=drive.run.project_id, server_handle=server.handle))
    except Conflict as error:
        return await park(state, drive, "readiness", WaitingReason.RESOURCES, str(error))
    url = f"http://{place.host}:{place.port}/"
    for name, value in _placed(drive, server, _variables(state), url):
        await drive.services.github.put_secret(repo, name, value)
    return go("trigger_workflow", host=place.host, port=place.port, url=url)


def _variables(state: DeployState) -> list[Variable]:
    return [Variable.load(dumped) for dumped in state["variables"]]


def _missing(variables: Iterable[Variable], given: frozenset[str]) -> list[str]:
    return [variable.name for variable in variables if variable.origin is Origin.USER and variable.name not in given]


async def _given(drive: Drive) -> frozenset[str]:
    try:
        names: JsonValue = await drive.services.api.get_setting(f"secrets:{drive.run.project_id}")
    except NotFound:
        return frozenset()
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


def _value(drive: Drive, variable: Variable) -> SecretStr | None:
    if variable.origin is Origin.GENERATED:
        return generated_secret(drive.services.policy.attempt_secret, drive.run.project_id, variable.name)
    if variable.origin is Origin.LITERAL and variable.value:
        return SecretStr(variable.value)
    return None


def _placed(drive: Drive, server: ServerDTO, variables: list[Variable], url: str) -> list[tuple[str, SecretStr]]:
    """Return the secrets that depend on the place."""
    own = [("DEPLOY_URL", SecretStr(server.deploy_url or "")), ("DEPLOY_TOKEN", drive.services.policy.deploy_token)]
    return own + [(variable.name, SecretStr(url)) for variable in variables if variable.is_address]
