"""Servers, ports, deployments, workers and incidents, in memory."""

from __future__ import annotations

from shared.clients.errors import NotFound
from shared.contracts.dto.infrastructure import (
    AllocationCreate,
    AllocationDTO,
    DeploymentClaim,
    DeploymentDTO,
    DeploymentUpdate,
    IncidentCreate,
    IncidentDTO,
    ServerCreate,
    ServerDTO,
    ServerUpdate,
    WorkerDTO,
    WorkerReport,
)
from shared.contracts.vocabulary import IncidentStatus, ServerStatus
from shared.testing.api_store import FakeApiStore, changes, found, refused

SERVER_NULLABLE = frozenset({"deploy_url", "last_error"})
DEPLOYMENT_NULLABLE = frozenset({"workflow_run_id", "conclusion", "url"})


class FakeInfrastructure(FakeApiStore):
    """One port per project and server; one deployment per run and attempt; one open incident per key."""

    async def create_server(self, body: ServerCreate) -> ServerDTO:
        if body.handle not in self.servers:
            now = self.now()
            row = ServerDTO(**body.model_dump(), last_error=None, created_at=now, updated_at=now)
            self.servers[body.handle] = row
        return self.servers[body.handle]

    async def list_servers(self, *, status: ServerStatus | None = None) -> list[ServerDTO]:
        return [row for row in self.servers.values() if status in (None, row.status)]

    async def get_server(self, handle: str) -> ServerDTO:
        return found(self.servers, handle, "server")

    async def update_server(self, handle: str, body: ServerUpdate) -> ServerDTO:
        row = found(self.servers, handle, "server")
        self.servers[handle] = row.model_copy(update={**changes(body, SERVER_NULLABLE), "updated_at": self.now()})
        return self.servers[handle]

    async def allocate(self, body: AllocationCreate) -> AllocationDTO:
        server = found(self.servers, body.server_handle, "server")
        found(self.projects, body.project_id, "project")
        key = (body.project_id, body.server_handle)
        held = self.allocations.get(key)
        if held is not None and held.port not in body.exclude_ports:
            return held
        taken = {row.port for row in self.allocations.values() if row.server_handle == server.handle}
        ports = range(server.port_range_start, server.port_range_end + 1)
        port = next((port for port in ports if port not in taken and port not in body.exclude_ports), None)
        if port is None:
            raise refused("no_free_port", f"every port of server {server.handle} is taken")
        self.allocations[key] = AllocationDTO(
            project_id=body.project_id,
            server_handle=server.handle,
            host=server.host,
            port=port,
            created_at=self.now(),
        )
        return self.allocations[key]

    async def list_allocations(self, *, project_id: str | None = None) -> list[AllocationDTO]:
        return [row for row in self.allocations.values() if project_id in (None, row.project_id)]

    async def claim_deployment(self, body: DeploymentClaim) -> DeploymentDTO:
        found(self.runs, body.run_id, "run")
        for row in self.deployments.values():
            if (row.run_id, row.attempt) == (body.run_id, body.attempt):
                return row
            if row.correlation == body.correlation:
                raise refused("correlation_taken", f"the correlation {body.correlation} belongs to run {row.run_id}")
        now = self.now()
        row = DeploymentDTO(
            **body.model_dump(),
            id=self.next_number(),
            workflow_run_id=None,
            conclusion=None,
            url=None,
            created_at=now,
            updated_at=now,
        )
        self.deployments[row.id] = row
        return row

    async def update_deployment(self, deployment_id: int, body: DeploymentUpdate) -> DeploymentDTO:
        if deployment_id not in self.deployments:
            raise NotFound(f"there is no deployment {deployment_id}")
        news = {**changes(body, DEPLOYMENT_NULLABLE), "updated_at": self.now()}
        self.deployments[deployment_id] = self.deployments[deployment_id].model_copy(update=news)
        return self.deployments[deployment_id]

    async def list_deployments(
        self, *, project_id: str | None = None, run_id: str | None = None
    ) -> list[DeploymentDTO]:
        rows = self.deployments.values()
        return [row for row in rows if project_id in (None, row.project_id) and run_id in (None, row.run_id)]

    async def report_worker(self, body: WorkerReport) -> WorkerDTO:
        now = self.now()
        known = self.workers.get(body.id)
        created_at = now if known is None else known.created_at
        self.workers[body.id] = WorkerDTO(**body.model_dump(), created_at=created_at, updated_at=now)
        return self.workers[body.id]

    async def list_workers(self) -> list[WorkerDTO]:
        return list(self.workers.values())

    async def open_incident(self, body: IncidentCreate) -> IncidentDTO:
        for row in self.incidents.values():
            if row.key == body.key and row.status is IncidentStatus.OPEN:
                return row
        now = self.now()
        row = IncidentDTO(
            **body.model_dump(), id=self.next_number(), status=IncidentStatus.OPEN, created_at=now, updated_at=now
        )
        self.incidents[row.id] = row
        return row

    async def resolve_incident(self, key: str) -> None:
        for number, row in self.incidents.items():
            if row.key == key and row.status is IncidentStatus.OPEN:
                news = {"status": IncidentStatus.RESOLVED, "updated_at": self.now()}
                self.incidents[number] = row.model_copy(update=news)

    async def list_incidents(self) -> list[IncidentDTO]:
        return list(self.incidents.values())
