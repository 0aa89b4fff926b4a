"""Projects, tasks and what turns cost, in memory."""

from __future__ import annotations

from shared.clients.errors import NotFound
from shared.contracts.base import current_correlation_id
from shared.contracts.dto.work import (
    ProjectCreate,
    ProjectDTO,
    ProjectUpdate,
    TaskCreate,
    TaskDTO,
    TaskExecutionCreate,
    TaskExecutionDTO,
    TaskUpdate,
)
from shared.contracts.vocabulary import ProjectStatus, TaskStatus
from shared.testing.api_store import FakeApiStore, changes, found, invalid, refused

PROJECT_NULLABLE = frozenset({"repo_full_name", "repo_url", "deployed_url", "deployed_sha"})
FINAL_TASKS = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED})


class FakeWork(FakeApiStore):
    """Names are unique per owner; creation is repeatable by idempotency key."""

    async def create_project(self, body: ProjectCreate, *, idempotency_key: str | None = None) -> ProjectDTO:
        if (first := self.first_answer("projects", idempotency_key, body, ProjectDTO)) is not None:
            return first
        if not body.owner_id:
            raise invalid("owner_id", "a service names the owner")
        if any(row.owner_id == body.owner_id and row.name == body.name for row in self.projects.values()):
            raise refused("project_name_taken", f"you already have a project called {body.name}")
        now = self.now()
        row = ProjectDTO(
            id=self.new_id(),
            owner_id=body.owner_id,
            name=body.name,
            description=body.description,
            modules=body.modules,
            status=ProjectStatus.DRAFT,
            repo_full_name=None,
            repo_url=None,
            default_branch="main",
            files=[],
            deployed_url=None,
            deployed_sha=None,
            created_at=now,
            updated_at=now,
        )
        self.projects[row.id] = row
        self.keep_answer("projects", idempotency_key, body, row)
        return row

    async def get_project(self, project_id: str) -> ProjectDTO:
        return found(self.projects, project_id, "project")

    async def list_projects(self, *, owner_id: str | None = None, name: str | None = None) -> list[ProjectDTO]:
        rows = self.projects.values()
        return [row for row in rows if owner_id in (None, row.owner_id) and name in (None, row.name)]

    async def update_project(self, project_id: str, body: ProjectUpdate) -> ProjectDTO:
        row = found(self.projects, project_id, "project")
        self.projects[project_id] = row.model_copy(update={**changes(body, PROJECT_NULLABLE), "updated_at": self.now()})
        return self.projects[project_id]

    async def create_task(self, body: TaskCreate, *, idempotency_key: str | None = None) -> TaskDTO:
        if (first := self.first_answer("tasks", idempotency_key, body, TaskDTO)) is not None:
            return first
        project = found(self.projects, body.project_id, "project")
        if body.parent_task_id is not None and body.parent_task_id not in self.tasks:
            raise NotFound(f"there is no task {body.parent_task_id}")
        now = self.now()
        row = TaskDTO(
            id=self.new_id(),
            project_id=project.id,
            owner_id=project.owner_id,
            type=body.type,
            title=body.title,
            description=body.description,
            parent_task_id=body.parent_task_id,
            status=TaskStatus.QUEUED,
            correlation_id=current_correlation_id(),
            created_at=now,
            updated_at=now,
        )
        self.tasks[row.id] = row
        self.keep_answer("tasks", idempotency_key, body, row)
        return row

    async def get_task(self, task_id: str) -> TaskDTO:
        return found(self.tasks, task_id, "task")

    async def list_tasks(
        self, *, project_id: str | None = None, owner_id: str | None = None, status: TaskStatus | None = None
    ) -> list[TaskDTO]:
        return [
            row
            for row in self.tasks.values()
            if project_id in (None, row.project_id)
            and owner_id in (None, row.owner_id)
            and status in (None, row.status)
        ]

    async def update_task(self, task_id: str, body: TaskUpdate) -> TaskDTO:
        row = found(self.tasks, task_id, "task")
        if body.status is None or body.status is row.status:
            return row
        if row.status in FINAL_TASKS:
            raise refused("already_final", f"the task is {row.status}")
        self.tasks[task_id] = row.model_copy(update={"status": body.status, "updated_at": self.now()})
        return self.tasks[task_id]

    async def record_execution(self, body: TaskExecutionCreate) -> TaskExecutionDTO:
        key = (body.request_id, body.attempt)
        if key not in self.executions:
            known = body.model_dump()
            if (run := self.runs.get(body.run_id or "")) is not None:
                known["task_id"] = body.task_id or run.task_id
                known["project_id"] = body.project_id or run.project_id
                known["owner_id"] = body.owner_id or run.owner_id
            self.executions[key] = TaskExecutionDTO(**known, id=self.next_number(), created_at=self.now())
        return self.executions[key]

    async def list_executions(
        self, *, run_id: str | None = None, project_id: str | None = None, owner_id: str | None = None
    ) -> list[TaskExecutionDTO]:
        return [
            row
            for row in self.executions.values()
            if run_id in (None, row.run_id)
            and project_id in (None, row.project_id)
            and owner_id in (None, row.owner_id)
        ]
