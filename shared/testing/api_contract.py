"""What every api must do for projects, tasks, people and infrastructure, whoever implements it.

A test class derives from ApiContract and provides the fixture `api`. Rows of other tests may exist.
"""

from __future__ import annotations

import asyncio

import pytest
from pydantic import JsonValue

from shared.clients.api_port import Api
from shared.clients.errors import Conflict, Invalid, NotFound
from shared.contracts.base import correlation, new_id
from shared.contracts.dto.accounts import ChatMessageCreate, ChatMessageUpdate, UserUpsert, WorkerTokenRequest
from shared.contracts.dto.infrastructure import (
    AllocationCreate,
    DeploymentClaim,
    DeploymentUpdate,
    IncidentCreate,
    ServerCreate,
    ServerUpdate,
    WorkerReport,
)
from shared.contracts.dto.work import ProjectCreate, ProjectUpdate, TaskCreate, TaskExecutionCreate, TaskUpdate
from shared.contracts.stages import Usage
from shared.contracts.vocabulary import (
    AgentType,
    ChatDirection,
    ChatMessageState,
    IncidentSeverity,
    IncidentStatus,
    ProjectStatus,
    ServerStatus,
    TaskStatus,
    TaskType,
    WorkerStatus,
    WorkerType,
)
from shared.testing.api_scenes import new_project, new_run, new_task


def fresh(prefix: str) -> str:
    return f"{prefix}-{new_id()[:12]}"


class ApiContract:
    """Everything but runs."""

    async def test_a_project_is_created_as_a_draft_and_can_be_read(self, api: Api) -> None:
        project = await new_project(api, "owner-1")
        assert (project.status, project.owner_id, project.default_branch) == (ProjectStatus.DRAFT, "owner-1", "main")
        assert await api.get_project(project.id) == project
        assert await api.list_projects(owner_id="owner-1", name=project.name) == [project]

    async def test_a_name_is_taken_once_per_owner(self, api: Api) -> None:
        project = await new_project(api)
        with pytest.raises(Conflict) as refusal:
            await api.create_project(ProjectCreate(name=project.name, owner_id=project.owner_id))
        assert refusal.value.api_code == "project_name_taken"
        other = await api.create_project(ProjectCreate(name=project.name, owner_id=fresh("other")))
        assert other.id != project.id

    async def test_a_service_must_name_the_owner(self, api: Api) -> None:
        with pytest.raises(Invalid) as refusal:
            await api.create_project(ProjectCreate(name="todo-app"))
        assert [error.field for error in refusal.value.errors] == ["owner_id"]

    async def test_a_repeated_key_returns_the_first_answer_and_another_body_is_refused(self, api: Api) -> None:
        body, key = ProjectCreate(name="todo-app", owner_id=fresh("u")), fresh("key")
        first = await api.create_project(body, idempotency_key=key)
        assert await api.create_project(body, idempotency_key=key) == first
        with pytest.raises(Invalid) as refusal:
            await api.create_project(body.model_copy(update={"name": "another"}), idempotency_key=key)
        assert refusal.value.api_code == "idempotency_mismatch"
        task = TaskCreate(project_id=first.id, type=TaskType.ENGINEERING, title="once")
        tasks = await asyncio.gather(*(api.create_task(task, idempotency_key=key) for _ in range(5)))
        assert {row.id for row in tasks} == {tasks[0].id}
        assert len(await api.list_tasks(project_id=first.id)) == 1

    async def test_an_update_leaves_alone_what_it_does_not_name(self, api: Api) -> None:
        project = await new_project(api)
        url = "http://host/r"
        after = await api.update_project(project.id, ProjectUpdate(repo_url=url, files=["a.py"], deployed_sha="abc"))
        assert (after.repo_url, after.files, after.name, after.status) == (url, ["a.py"], project.name, project.status)
        cleared = await api.update_project(project.id, ProjectUpdate(deployed_sha=None, status=None))
        assert (cleared.deployed_sha, cleared.status, cleared.repo_url) == (None, project.status, url)

    async def test_what_does_not_exist_is_not_found(self, api: Api) -> None:
        for call in (
            api.get_project("none"),
            api.get_task("none"),
            api.get_run("none"),
            api.get_user("none"),
            api.get_server("none"),
            api.update_project("none", ProjectUpdate(description="x")),
            api.update_task("none", TaskUpdate(status=TaskStatus.RUNNING)),
            api.update_chat_message(10**12, ChatMessageUpdate(text="x")),
            api.create_task(TaskCreate(project_id="none", type=TaskType.DEPLOY, title="x")),
        ):
            with pytest.raises(NotFound):
                await call

    async def test_a_task_carries_its_projects_owner_and_the_callers_correlation(self, api: Api) -> None:
        project = await new_project(api)
        with correlation("chat-17"):
            task = await new_task(api, project)
        assert (task.owner_id, task.correlation_id, task.status) == (project.owner_id, "chat-17", TaskStatus.QUEUED)
        assert await api.list_tasks(project_id=project.id, status=TaskStatus.QUEUED) == [task]
        assert await api.list_tasks(project_id=project.id, status=TaskStatus.RUNNING) == []

    async def test_a_final_task_keeps_its_first_outcome(self, api: Api) -> None:
        task = await new_task(api)
        done = await api.update_task(task.id, TaskUpdate(status=TaskStatus.COMPLETED))
        assert await api.update_task(task.id, TaskUpdate(status=TaskStatus.COMPLETED)) == done
        with pytest.raises(Conflict) as refusal:
            await api.update_task(task.id, TaskUpdate(status=TaskStatus.FAILED))
        assert refusal.value.api_code == "already_final"

    async def test_an_execution_is_stored_once_and_learns_of_its_run(self, api: Api) -> None:
        run = await new_run(api)
        body = TaskExecutionCreate(
            request_id=fresh("r"),
            stage="code",
            agent_type="claude",
            run_id=run.id,
            status="success",
            usage=Usage(input_tokens=5, cost_usd=0.25),
        )
        first = await api.record_execution(body)
        assert await api.record_execution(body) == first
        assert (first.task_id, first.project_id, first.owner_id) == (run.task_id, run.project_id, run.owner_id)
        assert await api.list_executions(run_id=run.id) == [first]
        assert (await api.list_executions(project_id=run.project_id))[0].usage.cost_usd == 0.25

    async def test_one_telegram_id_is_one_user(self, api: Api) -> None:
        number = int(new_id()[:10], 16)
        first = await api.upsert_user(UserUpsert(telegram_id=number, name="Ada"))
        again = await api.upsert_user(UserUpsert(telegram_id=number, is_admin=True))
        assert (again.id, again.name, again.is_admin) == (first.id, "Ada", True)
        assert await api.list_users(telegram_id=number) == [again]
        assert await api.get_user(first.id) == again

    async def test_an_update_is_stored_once_and_moves_through_its_states(self, api: Api) -> None:
        body = ChatMessageCreate(
            user_id=fresh("u"),
            chat_id=7,
            direction=ChatDirection.IN,
            dedupe_key=fresh("update"),
            text="hello",
            update_id=9,
            state=ChatMessageState.RECEIVED,
        )
        first = await api.create_chat_message(body)
        assert await api.create_chat_message(body) == first
        news = ChatMessageUpdate(state=ChatMessageState.DISPATCHED, request_id="r1")
        moved = await api.update_chat_message(first.id, news)
        assert (moved.state, moved.text, moved.request_id) == (ChatMessageState.DISPATCHED, "hello", "r1")
        assert await api.list_chat_messages(user_id=body.user_id, state=ChatMessageState.DISPATCHED) == [moved]
        assert await api.list_chat_messages(user_id=body.user_id, direction=ChatDirection.OUT) == []
        assert await api.list_chat_messages(dedupe_key=body.dedupe_key) == [moved]

    async def test_a_server_is_created_once_and_updated(self, api: Api) -> None:
        body = ServerCreate(handle=fresh("s"), host="10.0.0.1")
        first = await api.create_server(body)
        assert await api.create_server(body) == first
        broken = await api.update_server(body.handle, ServerUpdate(status=ServerStatus.UNREACHABLE, last_error="no"))
        assert broken.last_error == "no"
        healed = await api.update_server(body.handle, ServerUpdate(status=ServerStatus.ACTIVE, last_error=None))
        assert (healed.status, healed.last_error, healed.host) == (ServerStatus.ACTIVE, None, "10.0.0.1")
        assert healed in await api.list_servers(status=ServerStatus.ACTIVE)

    async def test_ports_are_unique_per_server_and_kept_per_project(self, api: Api) -> None:
        server = await api.create_server(
            ServerCreate(handle=fresh("s"), host="h", port_range_start=9001, port_range_end=9003)
        )
        projects = [await new_project(api) for _ in range(4)]
        bodies = [AllocationCreate(project_id=row.id, server_handle=server.handle) for row in projects]
        ports = await asyncio.gather(*(api.allocate(body) for body in bodies[:3]))
        assert sorted(row.port for row in ports) == [9001, 9002, 9003]
        assert (await api.allocate(bodies[0])).port == ports[0].port
        assert (await api.list_allocations(project_id=projects[0].id))[0].host == "h"
        with pytest.raises(Conflict) as refusal:
            await api.allocate(bodies[3])
        assert refusal.value.api_code == "no_free_port"

    async def test_an_excluded_port_is_given_up_for_another(self, api: Api) -> None:
        server, project = await api.create_server(ServerCreate(handle=fresh("s"), host="h")), await new_project(api)
        first = await api.allocate(AllocationCreate(project_id=project.id, server_handle=server.handle))
        body = AllocationCreate(project_id=project.id, server_handle=server.handle, exclude_ports=[first.port])
        assert (await api.allocate(body)).port == first.port + 1
        assert len(await api.list_allocations(project_id=project.id)) == 1

    async def test_a_dispatch_is_claimed_once_per_run_and_attempt(self, api: Api) -> None:
        run = await new_run(api)
        body = DeploymentClaim(run_id=run.id, project_id=run.project_id, correlation=fresh("c"), sha="abc")
        first = await api.claim_deployment(body)
        assert await api.claim_deployment(body) == first
        other = body.model_copy(update={"attempt": 2})
        with pytest.raises(Conflict) as refusal:
            await api.claim_deployment(other)
        assert refusal.value.api_code == "correlation_taken"
        done = await api.update_deployment(first.id, DeploymentUpdate(workflow_run_id=5, conclusion="success"))
        assert await api.list_deployments(run_id=run.id) == [done]

    async def test_a_worker_is_mirrored_under_its_id(self, api: Api) -> None:
        body = WorkerReport(
            id=fresh("w"),
            worker_type=WorkerType.DEVELOPER,
            agent_type=AgentType.MOCK,
            status=WorkerStatus.STARTING,
            user_id="u1",
        )
        first = await api.report_worker(body)
        after = await api.report_worker(body.model_copy(update={"status": WorkerStatus.FAILED, "exit_code": 137}))
        assert (after.created_at, after.status, after.exit_code) == (first.created_at, WorkerStatus.FAILED, 137)
        assert [row for row in await api.list_workers() if row.id == body.id] == [after]

    async def test_an_incident_is_open_once_per_key(self, api: Api) -> None:
        body = IncidentCreate(key=f"server:{fresh('s')}/health", severity=IncidentSeverity.HIGH, title="down")
        first = await api.open_incident(body)
        assert await api.open_incident(body) == first
        await api.resolve_incident(body.key)
        await api.resolve_incident(body.key)
        second = await api.open_incident(body)
        states = {row.id: row.status for row in await api.list_incidents() if row.key == body.key}
        assert states == {first.id: IncidentStatus.RESOLVED, second.id: IncidentStatus.OPEN}

    async def test_a_setting_holds_any_json(self, api: Api) -> None:
        name = fresh("pause")
        assert await api.get_setting(name) is None
        values: list[JsonValue] = [True, None, {"until": [1, 2]}, "text", 0]
        for value in values:
            assert await api.put_setting(name, value) == value
            assert await api.get_setting(name) == value

    async def test_a_lease_has_one_owner_and_a_rising_fence(self, api: Api) -> None:
        name = fresh("poller")
        first = await api.claim_lease(name, "a", 60)
        with pytest.raises(Conflict) as refusal:
            await api.claim_lease(name, "b", 60)
        assert refusal.value.api_code == "lease_held"
        again = await api.claim_lease(name, "a", 60)
        assert again.fence == first.fence + 1
        with pytest.raises(Conflict) as late:
            await api.renew_lease(name, "a", first.fence, 60)
        assert late.value.api_code == "stale_fence"
        assert (await api.renew_lease(name, "a", again.fence, 90)).expires_at > again.expires_at
        await api.release_lease(name, "a", again.fence)
        await api.release_lease(name, "a", again.fence)
        assert (await api.claim_lease(name, "b", 60)).fence == again.fence + 1

    async def test_of_many_claims_one_wins(self, api: Api) -> None:
        name = fresh("race")
        claims = (api.claim_lease(name, f"owner-{number}", 60) for number in range(8))
        outcomes = await asyncio.gather(*claims, return_exceptions=True)
        assert sum(not isinstance(outcome, Conflict) for outcome in outcomes) == 1

    async def test_a_worker_token_is_given(self, api: Api) -> None:
        token = await api.create_worker_token(WorkerTokenRequest(worker_id="w1", owner_id="u1", scopes=["project.*"]))
        assert token.token
