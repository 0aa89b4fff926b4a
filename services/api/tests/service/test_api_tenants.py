"""What workers and users may do: their scopes, their owner's rows, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import jwt
import pytest

from shared.clients.api import ApiClient
from shared.clients.errors import ApiError, Denied, NotFound
from shared.contracts.base import new_id
from shared.contracts.dto.accounts import UserUpsert, WorkerTokenRequest
from shared.contracts.dto.infrastructure import DeadLetterFilter, ServerCreate, WorkerReport
from shared.contracts.dto.work import ProjectCreate, ProjectUpdate, RunClaim, TaskCreate
from shared.contracts.vocabulary import AgentType, TaskType, WorkerStatus, WorkerType
from shared.testing.api_process import TEST_SECRET, ApiServer
from shared.testing.api_scenes import new_project, new_run, new_task

MINE = f"owner-{new_id()[:12]}"


async def worker(api: ApiClient, process: ApiServer, *scopes: str, owner: str = MINE) -> ApiClient:
    request = WorkerTokenRequest(worker_id="w1", owner_id=owner, scopes=list(scopes))
    token = await api.create_worker_token(request)
    return ApiClient(process.base_url, token.token, retry_seconds=0)


@pytest.fixture
async def mine(api: ApiClient, api_server: ApiServer) -> AsyncIterator[ApiClient]:
    async with await worker(api, api_server, "project.*", "engineering.*", "deploy.*", "infra.*") as client:
        yield client


async def test_a_worker_creates_for_its_owner_whatever_it_says(mine: ApiClient) -> None:
    project = await mine.create_project(ProjectCreate(name=f"p-{new_id()[:8]}", owner_id="somebody-else"))
    assert project.owner_id == MINE
    task = await mine.create_task(TaskCreate(project_id=project.id, type=TaskType.ENGINEERING, title="x"))
    assert task.owner_id == MINE
    assert project.id in [row.id for row in await mine.list_projects(owner_id="somebody-else")]


async def test_a_worker_does_not_see_the_rows_of_others(api: ApiClient, mine: ApiClient) -> None:
    project = await new_project(api)
    task = await new_task(api, project)
    run = await new_run(api, project)
    for call in (
        mine.get_project(project.id),
        mine.get_task(task.id),
        mine.get_run(run.id),
        mine.list_events(run.id),
        mine.list_evidence(run.id),
        mine.wait_run(run.id, 0.1),
        mine.cancel_run(run.id, "mine now"),
        mine.create_task(TaskCreate(project_id=project.id, type=TaskType.DEPLOY, title="x")),
    ):
        with pytest.raises(NotFound):
            await call
    assert await mine.list_tasks(project_id=project.id) == []
    assert await mine.list_runs(project_id=project.id, owner_id=project.owner_id) == []
    assert await mine.list_executions(owner_id=project.owner_id) == []
    assert project not in await mine.list_projects(owner_id=project.owner_id)


async def test_a_worker_sees_its_owners_rows(api: ApiClient, mine: ApiClient) -> None:
    run = await new_run(api, await new_project(api, MINE))
    assert await mine.get_run(run.id) == run
    assert await mine.get_task(run.task_id)
    assert len(await mine.list_events(run.id)) == 1


async def test_a_scope_opens_its_routes_only(api: ApiClient, api_server: ApiServer) -> None:
    project = await new_project(api, MINE)
    async with await worker(api, api_server, "project.list", "engineering.start") as narrow:
        assert project in await narrow.list_projects()
        assert await narrow.create_task(TaskCreate(project_id=project.id, type=TaskType.ENGINEERING, title="x"))
        for call in (
            narrow.create_task(TaskCreate(project_id=project.id, type=TaskType.DEPLOY, title="x")),
            narrow.create_project(ProjectCreate(name="todo-app")),
            narrow.list_servers(),
        ):
            with pytest.raises(Denied):
                await call


async def test_what_belongs_to_services_is_closed_to_any_worker(api: ApiClient, api_server: ApiServer) -> None:
    project = await new_project(api, MINE)
    run = await new_run(api, project)
    async with await worker(api, api_server, "*") as anything:
        for call in (
            anything.update_project(project.id, ProjectUpdate(deployed_url="http://elsewhere/")),
            anything.claim_run(run.id, RunClaim(owner="w1")),
            anything.append_events(run.id, []),
            anything.create_worker_token(WorkerTokenRequest(worker_id="w2", owner_id="root", scopes=["*"])),
            anything.upsert_user(UserUpsert(telegram_id=1)),
            anything.create_server(ServerCreate(handle="s", host="h")),
            anything.put_setting("pause", True),
            anything.claim_lease("poller", "w1", 5),
            anything.list_dead_letters(),
            anything.get_dead_letter(1),
            anything.replay_dead_letter(1),
            anything.replay_dead_letters(DeadLetterFilter()),
            anything.discard_dead_letter(1),
        ):
            with pytest.raises(Denied):
                await call


async def test_keys_of_two_owners_do_not_meet(api: ApiClient, api_server: ApiServer, mine: ApiClient) -> None:
    key, body = new_id(), ProjectCreate(name=f"p-{new_id()[:8]}")
    first = await mine.create_project(body, idempotency_key=key)
    async with await worker(api, api_server, "project.*", owner=f"other-{new_id()}") as theirs:
        assert (await theirs.create_project(body, idempotency_key=key)).id != first.id


def signed(secret: str = TEST_SECRET, algorithm: str = "HS256", **claims: object) -> str:
    base = {"sub": "x", "kind": "service", "aud": "orchestrator", "exp": int(time.time()) + 60}
    return jwt.encode({**base, **claims}, secret, algorithm=algorithm)


@pytest.mark.parametrize(
    "token",
    [
        "not-a-token",
        "two words",
        signed("another-secret-of-at-least-thirty-two-characters"),
        signed(algorithm="HS512"),
        signed(aud="somebody"),
        signed(exp=1),
        signed(kind="root"),
        signed(kind="worker"),
        signed(kind="worker", owner_id="", scopes=["*"]),
        jwt.encode({"sub": "x", "kind": "service", "aud": "orchestrator"}, TEST_SECRET, algorithm="HS256"),
        jwt.encode({"sub": "x", "kind": "service", "aud": "orchestrator", "exp": 9e9}, "", algorithm="none"),
    ],
)
async def test_a_token_that_is_not_ours_opens_nothing(token: str, api_server: ApiServer) -> None:
    async with httpx.AsyncClient(base_url=api_server.base_url, verify=False) as http:
        answer = await http.get("/api/projects", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_user_sees_what_is_theirs(api: ApiClient, api_server: ApiServer) -> None:
    project = await new_project(api)
    token = signed(kind="user", sub=project.owner_id)
    async with ApiClient(api_server.base_url, token, retry_seconds=0) as person:
        assert await person.list_projects() == [project]
        with pytest.raises(ApiError):
            await person.update_project(project.id, ProjectUpdate(description="x"))


async def test_a_workers_token_ends_with_the_worker(api: ApiClient, api_server: ApiServer) -> None:
    worker_id = f"w-{new_id()[:8]}"
    request = WorkerTokenRequest(worker_id=worker_id, owner_id=MINE, scopes=["project.*"])
    token = (await api.create_worker_token(request)).token

    async def report(status: WorkerStatus) -> None:
        await api.report_worker(
            WorkerReport(id=worker_id, worker_type=WorkerType.DEVELOPER, agent_type=AgentType.MOCK, status=status)
        )

    async with ApiClient(api_server.base_url, token, retry_seconds=0) as client:
        await report(WorkerStatus.RUNNING)
        await client.list_projects()
        await report(WorkerStatus.STOPPED)
        deadline = time.monotonic() + 5
        while (refusal := await refusal_of(client)) is None:
            assert time.monotonic() < deadline, "the token of an ended worker still opens the api after 5 s"
            await asyncio.sleep(0.05)
        assert "ended with the worker" in refusal


async def refusal_of(client: ApiClient) -> str | None:
    try:
        await client.list_projects()
    except Denied as error:
        return str(error)
    return None
