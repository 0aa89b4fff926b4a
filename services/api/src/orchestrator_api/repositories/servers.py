"""Servers, the ports allocated on them, and the claims of deployments."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import allocations, deployments, projects, runs, servers
from orchestrator_api.errors import Refused, RowNotFound
from orchestrator_api.repositories.rows import (
    Page,
    changes,
    inserted,
    listed,
    matches,
    one_or_none,
    to_contract,
    updated,
)
from shared.contracts.dto.infrastructure import (
    AllocationCreate,
    AllocationDTO,
    DeploymentClaim,
    DeploymentDTO,
    DeploymentUpdate,
    ServerCreate,
    ServerDTO,
    ServerUpdate,
)
from shared.contracts.vocabulary import ServerStatus

SERVER_NULLABLE = frozenset({"deploy_url", "last_error"})
DEPLOYMENT_NULLABLE = frozenset({"workflow_run_id", "conclusion", "url"})


async def create(database: Database, body: ServerCreate) -> ServerDTO:
    """Store a server once per handle."""
    async with database.read() as connection:
        row = await inserted(connection, servers, body.model_dump(mode="json"))
    return await get(database, body.handle) if row is None else to_contract(ServerDTO, row)


async def get(database: Database, handle: str) -> ServerDTO:
    """Return the server, or raise RowNotFound."""
    async with database.read() as connection:
        row = await one_or_none(connection, servers, servers.c.handle == handle)
    if row is None:
        raise RowNotFound("server", handle)
    return to_contract(ServerDTO, row)


async def page(database: Database, page: Page, *, status: ServerStatus | None) -> tuple[list[ServerDTO], int | None]:
    """Return one page of servers."""
    async with database.read() as connection:
        return await listed(connection, ServerDTO, servers, page, matches(servers, {"status": status}))


async def update(database: Database, handle: str, body: ServerUpdate) -> ServerDTO:
    """Write the fields the body names."""
    async with database.read() as connection:
        row = await updated(connection, servers, changes(body, SERVER_NULLABLE), servers.c.handle == handle)
    if row is None:
        raise RowNotFound("server", handle)
    return to_contract(ServerDTO, row)


async def allocate(database: Database, body: AllocationCreate) -> AllocationDTO:
    """Return the project's port on a server, taking the lowest free one if it has none or its own is excluded."""
    async with database.write() as connection:
        locked = sa.select(servers).where(servers.c.handle == body.server_handle).with_for_update(key_share=True)
        server = (await connection.execute(locked)).mappings().one_or_none()
        if server is None:
            raise RowNotFound("server", body.server_handle)
        project = await one_or_none(connection, projects, projects.c.id == body.project_id)
        if project is None:
            raise RowNotFound("project", body.project_id)
        identity = {"project_id": body.project_id, "server_handle": body.server_handle}
        row = await one_or_none(connection, allocations, *matches(allocations, identity))
        if row is None or row["port"] in body.exclude_ports:
            values = {
                **identity,
                "port": await _free_port(connection, server, body.exclude_ports),
                "owner_id": project["owner_id"],
            }
            statement = insert(allocations).values(**values)
            statement = statement.on_conflict_do_update(
                index_elements=[allocations.c.project_id, allocations.c.server_handle],
                set_={"port": statement.excluded.port},
            )
            row = (await connection.execute(statement.returning(allocations))).mappings().one()
    return to_contract(AllocationDTO, row, host=server["host"])


async def _free_port(connection: AsyncConnection, server: sa.RowMapping, excluded: list[int]) -> int:
    taken = sa.select(allocations.c.port).where(allocations.c.server_handle == server["handle"])
    used = {int(port) for port in (await connection.execute(taken)).scalars()} | set(excluded)
    for port in range(server["port_range_start"], server["port_range_end"] + 1):
        if port not in used:
            return port
    raise Refused("no_free_port", f"every port of server {server['handle']} is taken")


async def page_of_allocations(
    database: Database, page: Page, *, project_id: str | None
) -> tuple[list[AllocationDTO], int | None]:
    """Return one page of allocations with the host of their server."""
    query = (
        sa.select(allocations, servers.c.host)
        .join(servers, servers.c.handle == allocations.c.server_handle)
        .where(allocations.c.id > page.after, *matches(allocations, {"project_id": project_id}))
        .order_by(allocations.c.id)
        .limit(page.limit)
    )
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
    following = int(rows[-1]["id"]) if len(rows) == page.limit else None
    return [to_contract(AllocationDTO, row) for row in rows], following


async def claim_deployment(database: Database, body: DeploymentClaim) -> DeploymentDTO:
    """Claim the right to dispatch, once per run and attempt."""
    async with database.write() as connection:
        run = await one_or_none(connection, runs, runs.c.id == body.run_id)
        if run is None:
            raise RowNotFound("run", body.run_id)
        row = await inserted(connection, deployments, {**body.model_dump(), "owner_id": run["owner_id"]})
        if row is None:
            identity = {"run_id": body.run_id, "attempt": body.attempt}
            row = await one_or_none(connection, deployments, *matches(deployments, identity))
        if row is None:
            raise Refused("correlation_taken", f"the correlation {body.correlation} belongs to another deployment")
    return to_contract(DeploymentDTO, row)


async def update_deployment(database: Database, deployment_id: int, body: DeploymentUpdate) -> DeploymentDTO:
    """Write the fields the body names."""
    async with database.read() as connection:
        news = changes(body, DEPLOYMENT_NULLABLE)
        row = await updated(connection, deployments, news, deployments.c.id == deployment_id)
    if row is None:
        raise RowNotFound("deployment", deployment_id)
    return to_contract(DeploymentDTO, row)


async def page_of_deployments(
    database: Database, page: Page, *, project_id: str | None, run_id: str | None
) -> tuple[list[DeploymentDTO], int | None]:
    """Return one page of deployments."""
    filters = {"project_id": project_id, "run_id": run_id}
    async with database.read() as connection:
        return await listed(connection, DeploymentDTO, deployments, page, matches(deployments, filters))
