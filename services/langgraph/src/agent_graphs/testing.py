"""The graphs in memory, with levers for everybody they talk to: scaffolder, worker-manager, workers, GitHub, time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from agent_graphs.app import SERVICE
from agent_graphs.checkpoints import Checkpoints, MemoryCheckpoints
from agent_graphs.consumers import Consumers
from agent_graphs.drive import Services
from agent_graphs.driver import Driver
from agent_graphs.leases import Leases
from agent_graphs.policy import Policy
from agent_graphs.poller import Poller
from agent_graphs.probe import FakeProber, ProbeAnswer
from shared.contracts.dto.infrastructure import ServerCreate
from shared.contracts.dto.work import ProjectCreate, ProjectDTO, ProjectUpdate, RunDTO, TaskCreate, TaskDTO
from shared.contracts.queues.work import DeployMessage, EngineeringMessage, ScaffolderResult
from shared.contracts.queues.workers import (
    CreateWorkerCommand,
    CreateWorkerResponse,
    DeleteWorkerCommand,
    DeveloperWorkerInput,
    DeveloperWorkerOutput,
    RefusalCode,
)
from shared.contracts.stages import AgentVerdict, Usage
from shared.contracts.topology import (
    DEPLOY_QUEUE,
    DEVELOPER_INPUT,
    DEVELOPER_OUTPUT,
    ENGINEERING_QUEUE,
    SCAFFOLDER_QUEUE,
    SCAFFOLDER_RESULTS,
    WORKER_COMMANDS,
    WORKER_RESPONSES_DEVELOPER,
)
from shared.contracts.vocabulary import AgentType, ResultStatus, ServerStatus, Stage, TaskType
from shared.redis.subscription import StreamSub
from shared.testing.api import FakeApi
from shared.testing.bus import FakeBus
from shared.testing.clock import FakeClock
from shared.testing.github import FakeGitHub

OWNER = "acme"
USAGE = Usage(input_tokens=100, output_tokens=20, cost_usd=0.01, turns=2)
RESULTS: dict[Stage, dict[str, Any]] = {
    Stage.PLAN: {"summary": "Add notes", "steps": ["Add the model", "Test it"], "files": ["app/notes.py"], "risks": []},
    Stage.CODE: {"summary": "Notes exist", "commit_message": "Add notes", "file_changes": [{"path": "app/notes.py"}]},
    Stage.TEST: {"passed": True, "command": "make test", "counts": {"passed": 3}},
    Stage.REVIEW: {"approved": True, "summary": "Does the task"},
}
RED_TESTS: dict[str, Any] = {
    "passed": False,
    "command": "make test",
    "failures": ["test_notes: assert 404 == 200"],
    "log_tail": "1 failed",
}
REJECTION: dict[str, Any] = {
    "approved": False,
    "summary": "Not sorted",
    "findings": [{"severity": "major", "file": "app/notes.py", "line": 12, "message": "sort by created_at"}],
}


def policy(**changes: Any) -> Policy:
    """Return the policy of tests: secrets that are no secrets, everything else as in production."""
    given: dict[str, Any] = {
        "attempt_secret": SecretStr("a-secret-of-tests"),
        "deploy_token": SecretStr("a-deploy-token-of-tests"),
        "agent_type": AgentType.MOCK,
        "github_web_url": "http://github.test",
        **changes,
    }
    return Policy(**given)


@dataclass
class World:
    """One orchestrator in memory. `replica()` gives a second process over the same stores."""

    clock: FakeClock = field(default_factory=FakeClock)
    bus: FakeBus = field(default_factory=FakeBus)
    github: FakeGitHub = field(default_factory=FakeGitHub)
    prober: FakeProber = field(default_factory=FakeProber)
    checkpoints: Checkpoints = field(default_factory=MemoryCheckpoints)
    policy: Policy = field(default_factory=policy)
    name: str = f"{SERVICE}-1"
    shared_api: FakeApi | None = None

    def __post_init__(self) -> None:
        self.api = self.shared_api or FakeApi(clock=self.clock)
        services = Services(self.bus, self.api, self.github, self.clock, self.prober, self.policy)
        self.driver = Driver(services, self.checkpoints, Leases(self.api, self.clock, self.name))
        self.consumers = Consumers(services, self.driver)
        self.poller = Poller(self.api, self.driver, self.name)

    def replica(self, name: str | None = None, **changes: Any) -> World:
        """Return another process on the same api, bus, GitHub and checkpoints, by default under the same name."""
        given: dict[str, Any] = {
            "clock": self.clock,
            "bus": self.bus,
            "github": self.github,
            "prober": self.prober,
            "checkpoints": self.checkpoints,
            "policy": self.policy,
            "name": name or self.name,
            "shared_api": self.api,
            **changes,
        }
        return World(**given)

    # rows
    async def new_project(self, name: str = "notes", *, is_scaffolded: bool = True) -> ProjectDTO:
        project = await self.api.create_project(ProjectCreate(name=name, owner_id="user-1"))
        return await self.scaffold(project) if is_scaffolded else project

    async def scaffold(self, project: ProjectDTO, files: dict[str, str] | None = None) -> ProjectDTO:
        """Give a project its repository, as the scaffolder does."""
        full_name = f"{OWNER}/{project.name}"
        if full_name not in self.github.repositories:
            self.github.add_repository(full_name, files or {"AGENTS.md": "Be brief.\n"})
        update = ProjectUpdate(
            repo_full_name=full_name, repo_url=f"http://github.test/{full_name}", files=["AGENTS.md"]
        )
        return await self.api.update_project(project.id, update)

    async def new_task(
        self, project: ProjectDTO, kind: TaskType = TaskType.ENGINEERING, title: str = "Notes"
    ) -> TaskDTO:
        return await self.api.create_task(
            TaskCreate(project_id=project.id, type=kind, title=title, description="List notes, newest first")
        )

    async def new_server(self, handle: str = "embedded") -> None:
        await self.api.create_server(
            ServerCreate(handle=handle, host="127.0.0.1", deploy_url="http://127.0.0.1:9", status=ServerStatus.ACTIVE)
        )

    async def run_of(self, task: TaskDTO) -> RunDTO:
        (run,) = await self.api.list_runs(task_id=task.id)
        return run

    # messages in
    async def announce(self, task: TaskDTO) -> None:
        """Publish the task's message and handle everything that follows from it here."""
        fields = {"task_id": task.id, "project_id": task.project_id, "user_id": task.owner_id}
        if task.type is TaskType.ENGINEERING:
            await self.bus.publish(ENGINEERING_QUEUE, EngineeringMessage(**fields))
        else:
            await self.bus.publish(DEPLOY_QUEUE, DeployMessage(**fields))
        await self.pump()

    async def pump(self) -> None:
        """Handle messages until there are none."""
        while sum([await self.bus.drain_once(sub) for sub in self._subs()]):
            continue

    async def tick(self, seconds: float = 1.0) -> None:
        """Let time pass, then one round of the poller."""
        self.clock.advance(seconds)
        await self.poller.run()
        await self.pump()

    def _subs(self) -> Sequence[StreamSub[Any]]:
        own, name = self.consumers, self.name
        return (
            StreamSub(ENGINEERING_QUEUE, SERVICE, name, own.engineering),
            StreamSub(DEPLOY_QUEUE, SERVICE, name, own.deploy),
            StreamSub(SCAFFOLDER_RESULTS, SERVICE, name, own.scaffolded),
            StreamSub(WORKER_RESPONSES_DEVELOPER, SERVICE, name, own.worker_response),
            StreamSub(DEVELOPER_OUTPUT, SERVICE, name, own.worker_output),
        )

    # the others answer
    async def answer_scaffold(self, project: ProjectDTO, error: str | None = None) -> None:
        request = (await self.bus.messages(SCAFFOLDER_QUEUE))[-1]
        if error is None:
            await self.scaffold(project)
        status = ResultStatus.SUCCESS if error is None else ResultStatus.ERROR
        result = ScaffolderResult(request_id=request.request_id, status=status, error=error, project_id=project.id)
        await self.bus.publish(SCAFFOLDER_RESULTS, result)
        await self.pump()

    async def creations(self) -> list[CreateWorkerCommand]:
        commands = await self.bus.messages(WORKER_COMMANDS)
        return [command for command in commands if isinstance(command, CreateWorkerCommand)]

    async def deletions(self) -> list[str]:
        """Return the ids of workers whose end was asked for."""
        commands = await self.bus.messages(WORKER_COMMANDS)
        return [command.worker_id for command in commands if isinstance(command, DeleteWorkerCommand)]

    async def answer_worker(self, refusal: RefusalCode | None = None, *, retryable: bool = False) -> str:
        """Answer the last creation; worker ids follow from request ids."""
        request = (await self.creations())[-1]
        worker_id = worker_of(request.request_id)
        response = CreateWorkerResponse(
            request_id=request.request_id,
            success=refusal is None,
            worker_id=worker_id if refusal is None else None,
            error=None if refusal is None else "as told",
            code=refusal,
            retryable=retryable,
        )
        await self.bus.publish(WORKER_RESPONSES_DEVELOPER, response)
        await self.pump()
        return worker_id

    async def inputs(self, worker_id: str) -> list[DeveloperWorkerInput]:
        return await self.bus.messages(DEVELOPER_INPUT.at(worker_id))

    async def answer_turn(self, worker_id: str, **changes: Any) -> DeveloperWorkerOutput:
        """Answer the worker's last message, by default with the stage's good result; code is pushed."""
        request = (await self.inputs(worker_id))[-1]
        output = self.output_for(request, worker_id, **changes)
        await self.bus.publish(DEVELOPER_OUTPUT, output)
        await self.pump()
        return output

    def output_for(self, request: DeveloperWorkerInput, worker_id: str, **changes: Any) -> DeveloperWorkerOutput:
        """Return an output with the request's token and fence."""
        fields: dict[str, Any] = {
            "request_id": request.request_id,
            "status": ResultStatus.SUCCESS,
            "task_id": request.task_id,
            "worker_id": worker_id,
            "run_id": request.run_id,
            "stage": request.stage,
            "attempt": request.attempt,
            "fence": request.fence,
            "attempt_token": request.attempt_token,
            "usage": USAGE,
            "duration_ms": 5,
        }
        data = changes.pop("data", None)
        if "status" not in changes:
            fields["verdict"] = AgentVerdict(data=data if data is not None else RESULTS[request.stage])
            if request.stage is Stage.CODE:
                fields["commit_sha"] = self._push(request)
        return DeveloperWorkerOutput(**{**fields, **changes})

    def _push(self, request: DeveloperWorkerInput) -> str:
        assert request.repo is not None
        full_name = request.repo.clone_url.removeprefix("http://github.test/").removesuffix(".git")
        return self.github.push(full_name, request.repo.branch, {"app/notes.py": f"# {request.request_id}\n"})

    async def answer_stages(self, worker_id: str, *stages: Stage) -> None:
        """Answer stage after stage well; each must be the one that is asked for."""
        for stage in stages:
            asked = (await self.inputs(worker_id))[-1].stage
            assert asked is stage, f"asked for {asked}, expected {stage}"
            await self.answer_turn(worker_id)

    def serve(self, sha: str, port: int = 8100) -> None:
        """Let the deployed application answer with a commit."""
        pages = {"/health": ProbeAnswer(200, '{"status": "ok"}'), "/version": ProbeAnswer(200, f'{{"sha": "{sha}"}}')}
        self.prober.serve("127.0.0.1", port, pages)


def worker_of(request_id: str) -> str:
    """Return the id the pretended manager gives the worker of a request."""
    return "w-" + request_id.replace(":", "-")
