"""The services around workers, as containers that run already, and a caller's view of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import uuid4

from docker.models.containers import Container
from redis import Redis

import docker
from shared.clients.api import ApiClient
from shared.contracts.dto.accounts import UserUpsert
from shared.contracts.queues.workers import (
    CreateWorkerCommand,
    DeleteWorkerCommand,
    DeveloperWorkerInput,
    DeveloperWorkerOutput,
    StatusWorkerCommand,
    WorkerCommand,
    WorkerConfig,
    WorkerContext,
    WorkerResponse,
)
from shared.contracts.topology import WORKER_RESPONSES_DEVELOPER
from shared.contracts.vocabulary import AgentType, AuthMode, WorkerCapability, WorkerStatus, WorkerType
from tests.integration.backend.bench import EXEC_TRIES, run_in, until

COMPOSE = "com.docker.compose"
CREATION_SECONDS = 240.0  # its image may have to be built


@dataclass
class Stack:
    """One compose project on this engine."""

    client: docker.DockerClient
    project: str
    redis: Redis
    api_url: str
    api_token: str = field(repr=False)
    model_key: str = field(repr=False)
    created: list[str] = field(default_factory=list)

    @cached_property
    def user_id(self) -> str:
        """Whose the workers' projects are."""

        async def make() -> str:
            async with ApiClient(self.api_url, self.api_token) as api:
                return (await api.upsert_user(UserUpsert(telegram_id=uuid4().int % 10**9))).id

        return asyncio.run(make())

    def projects(self) -> set[str]:
        """Return the names of all projects, as the api has them."""

        async def ask() -> set[str]:
            async with ApiClient(self.api_url, self.api_token) as api:
                return {project.name for project in await api.list_projects()}

        return asyncio.run(ask())

    def service(self, name: str) -> Container:
        labels = [f"{COMPOSE}.project={self.project}", f"{COMPOSE}.service={name}"]
        (container,) = self.client.containers.list(all=True, filters={"label": labels})
        return container

    def create(self, **config: Any) -> str:
        """Have a worker created and wait until it runs; return its id."""
        given: dict[str, Any] = {
            "name": "w",
            "worker_type": WorkerType.DEVELOPER,
            "agent_type": AgentType.MOCK,
            "pooled": False,
        }
        command = CreateWorkerCommand(
            request_id=f"create-{uuid4().hex[:12]}",
            config=WorkerConfig(**(given | config)),
            context=WorkerContext(user_id=self.user_id),
        )
        response = self.ask(command)
        assert response.success, response.error
        assert response.worker_id is not None
        self.created.append(response.worker_id)
        self.wait_for(response.worker_id, WorkerStatus.RUNNING)
        return response.worker_id

    def claude(self, *allowed: str, capabilities: Sequence[WorkerCapability] = (), **config: Any) -> str:
        return self.create(
            agent_type=AgentType.CLAUDE, allowed_commands=list(allowed), capabilities=list(capabilities), **config
        )

    def factory(self, *allowed: str, capabilities: Sequence[WorkerCapability] = (), **config: Any) -> str:
        return self.create(
            agent_type=AgentType.FACTORY,
            allowed_commands=list(allowed),
            capabilities=list(capabilities),
            **({"auth_mode": AuthMode.API_KEY, "api_key": "fk-of-a-test"} | config),
        )

    def delete(self, worker_id: str) -> WorkerResponse:
        return self.ask(DeleteWorkerCommand(request_id=f"delete-{uuid4().hex[:12]}", worker_id=worker_id))

    def status(self, worker_id: str) -> WorkerStatus | None:
        return self.ask(StatusWorkerCommand(request_id=f"status-{uuid4().hex[:12]}", worker_id=worker_id)).status

    def wait_for(self, worker_id: str, wanted: WorkerStatus) -> None:
        until(lambda: self.status(worker_id) is wanted, f"worker {worker_id} is {wanted}")

    def ask(self, command: WorkerCommand) -> WorkerResponse:
        """Publish a command and wait for its answer."""
        self.redis.xadd("worker:commands", {"data": command.model_dump_json()})

        def look() -> Any:
            stream = WORKER_RESPONSES_DEVELOPER
            found: list[Any] = [stream.adapter.validate_json(data) for data in self.entries(stream.name)]
            return next((each for each in found if each.request_id == command.request_id), None)

        answer: WorkerResponse = until(look, f"an answer to {command.request_id}", CREATION_SECONDS)
        return answer

    def tell(self, worker_id: str, prompt: str, **fields: Any) -> str:
        """Give a worker a message; return its request id."""
        request_id = f"task-{uuid4().hex[:12]}"
        given = {"task_id": "task-1", "project_id": "p-1", "timeout": 90}
        message = DeveloperWorkerInput(request_id=request_id, prompt=prompt, **(given | fields))
        self.redis.xadd(f"worker:developer:{worker_id}:input", {"data": message.model_dump_json()})
        return request_id

    def outputs(self, request_id: str) -> list[DeveloperWorkerOutput]:
        found = [DeveloperWorkerOutput.model_validate_json(data) for data in self.entries("worker:developer:output")]
        return [output for output in found if output.request_id == request_id]

    def output(self, request_id: str, seconds: float = 90) -> DeveloperWorkerOutput:
        return until(lambda: self.outputs(request_id), f"an output of {request_id}", seconds)[0]

    def entries(self, stream: str) -> list[bytes]:
        entries: Any = self.redis.xrange(stream)
        return [fields[b"data"] for _, fields in entries]

    def container(self, worker_id: str) -> Container:
        return self.client.containers.get(f"worker-{worker_id}")

    def run(self, worker_id: str, *command: str) -> tuple[int, str]:
        """Run a command in a worker; return its exit code and its output."""
        return run_in(self.container(worker_id), *command)

    def said(self, worker_id: str, *command: str) -> str:
        """Return what a command in a worker says; it has to succeed.

        A busy engine loses what a command said that has ended; one that says nothing is run again.
        """
        output = ""
        for _ in range(EXEC_TRIES):
            code, output = self.run(worker_id, *command)
            assert code == 0, output
            if output:
                break
        return output
