"""Projects."""

from __future__ import annotations

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import projects
from orchestrator_api.errors import BadRequest, Refused, RowNotFound
from orchestrator_api.repositories.rows import (
    Page,
    changes,
    first_answer,
    inserted,
    keep_answer,
    listed,
    matches,
    one_or_none,
    to_contract,
    updated,
)
from orchestrator_api.tokens import Caller
from shared.contracts.base import new_id
from shared.contracts.dto.work import ProjectCreate, ProjectDTO, ProjectUpdate

ROUTE = "projects"
NULLABLE = frozenset({"repo_full_name", "repo_url", "deployed_url", "deployed_sha"})


async def create(database: Database, caller: Caller, body: ProjectCreate, key: str | None) -> ProjectDTO:
    """Insert a project; a repeat under the same key returns the first answer."""
    owner_id = caller.owner_id or body.owner_id
    if not owner_id:
        raise BadRequest.field("owner_id", "a service names the owner")
    async with database.write() as connection:
        if key is not None and (answer := await first_answer(connection, caller, ROUTE, key, body)) is not None:
            return ProjectDTO.model_validate_json(answer)
        values = {**body.model_dump(mode="json"), "id": new_id(), "owner_id": owner_id}
        row = await inserted(connection, projects, values)
        if row is None:
            raise Refused("project_name_taken", f"you already have a project called {body.name}")
        project = to_contract(ProjectDTO, row)
        if key is not None:
            await keep_answer(connection, caller, ROUTE, key, project.model_dump_json())
    return project


async def get(database: Database, caller: Caller, project_id: str) -> ProjectDTO:
    """Return the project, or raise RowNotFound (also when it is somebody else's)."""
    async with database.read() as connection:
        mine = matches(projects, {"id": project_id, "owner_id": caller.owner_id})
        row = await one_or_none(connection, projects, *mine)
    if row is None:
        raise RowNotFound("project", project_id)
    return to_contract(ProjectDTO, row)


async def page(
    database: Database, caller: Caller, page: Page, *, owner_id: str | None, name: str | None
) -> tuple[list[ProjectDTO], int | None]:
    """Return one page of the projects the caller may see."""
    filters = {"owner_id": caller.owner_id or owner_id, "name": name}
    async with database.read() as connection:
        return await listed(connection, ProjectDTO, projects, page, matches(projects, filters))


async def update(database: Database, project_id: str, body: ProjectUpdate) -> ProjectDTO:
    """Write the fields the body names."""
    async with database.read() as connection:
        row = await updated(connection, projects, changes(body, NULLABLE), projects.c.id == project_id)
    if row is None:
        raise RowNotFound("project", project_id)
    return to_contract(ProjectDTO, row)
