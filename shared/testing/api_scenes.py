"""Rows that tests of runs begin with: a project, a task, a run, a run that is being driven."""

from __future__ import annotations

from shared.clients.api_port import Api
from shared.contracts.base import new_id
from shared.contracts.dto.work import (
    EvidenceCreate,
    ProjectCreate,
    ProjectDTO,
    RunClaim,
    RunCreate,
    RunDTO,
    RunFacts,
    TaskCreate,
    TaskDTO,
    TransitionRequest,
)
from shared.contracts.run_machine import RunEventName
from shared.contracts.vocabulary import TaskType

E = RunEventName
TO_PR = (E.START_PLANNING, E.PLAN_SUCCEEDED, E.START_CODING, E.CODE_SUCCEEDED, E.REVIEW_APPROVED, E.PR_OPENED)
TO_VERIFYING = (E.START_ANALYSIS, E.ENV_ANALYZED, E.SECRETS_RESOLVED, E.WORKFLOW_SUCCEEDED)


async def new_project(api: Api, owner_id: str | None = None) -> ProjectDTO:
    """Create a project with a name and, unless one is given, an owner of its own."""
    return await api.create_project(ProjectCreate(name=f"p-{new_id()[:12]}", owner_id=owner_id or f"u-{new_id()[:12]}"))


async def new_task(api: Api, project: ProjectDTO | None = None, kind: TaskType = TaskType.ENGINEERING) -> TaskDTO:
    """Create a task of a project."""
    project = project or await new_project(api)
    return await api.create_task(TaskCreate(project_id=project.id, type=kind, title="do it"))


async def new_run(api: Api, project: ProjectDTO | None = None, kind: TaskType = TaskType.ENGINEERING) -> RunDTO:
    """Create a task and its run."""
    task = await new_task(api, project, kind)
    return await api.create_run(RunCreate(task_id=task.id, key=f"task:{task.id}"))


async def claimed_run(api: Api, project: ProjectDTO | None = None, kind: TaskType = TaskType.ENGINEERING) -> RunDTO:
    """Create a run and take its lease as `driver`."""
    run = await new_run(api, project, kind)
    return await api.claim_run(run.id, RunClaim(owner="driver", ttl_seconds=60))


async def step(
    api: Api, run: RunDTO, *events: RunEventName, facts: RunFacts | None = None, reason: str | None = None
) -> RunDTO:
    """Apply events one after another under the run's fence."""
    for event in events:
        body = TransitionRequest(
            event=event, fence=run.fence, key=f"{event}:{run.version}", facts=facts or RunFacts(), reason=reason
        )
        run = await api.transition(run.id, body)
    return run


async def completed_engineering(api: Api, run: RunDTO, sha: str = "abc1234") -> RunDTO:
    """Drive a claimed engineering run to COMPLETED with its evidence."""
    run = await step(api, run, *TO_PR, facts=RunFacts(head_sha=sha, pr_url="http://host/pr/1", pr_number=1))
    for evidence in (
        EvidenceCreate(kind="remote_head", sha=sha),
        EvidenceCreate(kind="checks", sha=sha, conclusion="success"),
        EvidenceCreate(kind="merge", sha="def5678"),
    ):
        await api.add_evidence(run.id, evidence)
    return await step(api, run, E.MARK_COMPLETED, facts=RunFacts(merge_sha="def5678"))
