"""Turns messages into drives. A message is a hint: the rows it names decide; answers must carry their token."""

from __future__ import annotations

from agent_graphs.accounting import record_turn
from agent_graphs.drive import Services
from agent_graphs.driver import Driven, Driver, Outcome
from agent_graphs.engineering.preparation import delete_worker
from agent_graphs.errors import OutputRefused, TaskMismatch
from agent_graphs.identity import is_attempt_token, run_of
from agent_graphs.waits import Answer, Poke
from shared.clients.errors import NotFound
from shared.contracts.dto.work import RunCreate, RunDTO, TaskDTO
from shared.contracts.queues.work import DeployMessage, EngineeringMessage, ScaffolderResult
from shared.contracts.queues.workers import CreateWorkerResponse, DeveloperWorkerOutput, WorkerResponse
from shared.contracts.vocabulary import TaskStatus, TaskType
from shared.logging import get_logger
from shared.redis.subscription import Delivery

PAUSE_SETTING = "platform.paused"
_FINAL_TASKS = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED})

_log = get_logger(__name__)


class Consumers:
    """One handler per stream; returning acknowledges."""

    def __init__(self, services: Services, driver: Driver) -> None:
        self._services = services
        self._driver = driver

    async def engineering(self, message: EngineeringMessage, _: Delivery) -> None:
        await self._begin(message, TaskType.ENGINEERING)

    async def deploy(self, message: DeployMessage, _: Delivery) -> None:
        await self._begin(message, TaskType.DEPLOY)

    async def scaffolded(self, result: ScaffolderResult, _: Delivery) -> None:
        await self._answer(Answer(result.request_id, result.model_dump(mode="json")))

    async def worker_response(self, response: WorkerResponse, _: Delivery) -> None:
        """Pass creations on; a worker nobody waits for any more is deleted."""
        if not isinstance(response, CreateWorkerResponse):
            return
        driven = await self._answer(Answer(response.request_id, response.model_dump(mode="json")))
        is_unused = driven.outcome in (Outcome.FINAL, Outcome.UNNEEDED) and driven.worker_id != response.worker_id
        if response.worker_id and is_unused:
            await delete_worker(self._services.bus, run_of(response.request_id), response.worker_id)

    async def worker_output(self, output: DeveloperWorkerOutput, _: Delivery) -> None:
        """Pass outputs on; a late one is dropped, but what it used is stored."""
        run_id = run_of(output.request_id)
        if not is_attempt_token(self._services.policy.attempt_secret, output.request_id, output.attempt_token):
            _log.warning("output_refused", request_id=output.request_id, worker_id=output.worker_id)
            raise OutputRefused(output.request_id, "the attempt token is missing or wrong")
        driven = await self._answer(Answer(output.request_id, output.model_dump(mode="json"), output.fence))
        if driven.outcome in (Outcome.FINAL, Outcome.UNNEEDED):
            await record_turn(self._services.api, run_id, self._services.policy.agent_type, output)

    async def _answer(self, answer: Answer) -> Driven:
        driven = await self._driver.drive(run_of(answer.request_id), answer)
        if driven.outcome in (Outcome.FINAL, Outcome.UNNEEDED, Outcome.BUSY):
            _log.info("answer_dropped", request_id=answer.request_id, outcome=driven.outcome.value)
        return driven

    async def _begin(self, message: EngineeringMessage | DeployMessage, kind: TaskType) -> None:
        task = await self._services.api.get_task(message.task_id)
        if (task.type, task.project_id, task.owner_id) != (kind, message.project_id, message.user_id):
            raise TaskMismatch(f"task {task.id} is not the {kind.value} task of this project and user")
        run = await self._run_of(task)
        if run is not None:
            await self._driver.drive(run.id, Poke())

    async def _run_of(self, task: TaskDTO) -> RunDTO | None:
        """Return the task's run, created now when there is none; None while the platform is paused."""
        known = await self._services.api.list_runs(task_id=task.id)
        if known:
            return max(known, key=lambda run: run.created_at)
        if task.status in _FINAL_TASKS:
            raise TaskMismatch(f"task {task.id} is {task.status.value} and has no run")
        if await self._is_paused():
            _log.info("dispatch_paused", task_id=task.id)
            return None
        return await self._services.api.create_run(RunCreate(task_id=task.id, key=f"task:{task.id}"))

    async def _is_paused(self) -> bool:
        try:
            return bool(await self._services.api.get_setting(PAUSE_SETTING))
        except NotFound:
            return False
