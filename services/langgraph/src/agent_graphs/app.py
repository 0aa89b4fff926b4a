"""The composition root: clients, checkpoints, driver, consumers, poller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import SecretStr

from agent_graphs.checkpoints import open_checkpoints
from agent_graphs.consumers import Consumers
from agent_graphs.drive import Services
from agent_graphs.driver import Driver
from agent_graphs.leases import Leases
from agent_graphs.poller import Poller
from agent_graphs.probe import HttpProber
from agent_graphs.settings import LangGraphSettings
from shared.clients.api import ApiClient
from shared.clients.github.auth import AppCredentials
from shared.clients.github.client import GitHubClient
from shared.contracts.queues.work import DeployMessage, EngineeringMessage, ScaffolderResult
from shared.contracts.queues.workers import DeveloperWorkerOutput, WorkerResponse
from shared.contracts.topology import (
    DEPLOY_QUEUE,
    DEVELOPER_OUTPUT,
    ENGINEERING_QUEUE,
    SCAFFOLDER_RESULTS,
    WORKER_RESPONSES_DEVELOPER,
    M,
    Stream,
)
from shared.infra import SystemClock
from shared.redis.client import RedisStreamClient
from shared.redis.subscription import Delivery, StreamSub
from shared.runtime.service import Compose, Composition

SERVICE = "langgraph"
# A handler may wait one lease for another replica to let go of a run; its message must not be taken over meanwhile.
RECLAIM_IDLE_MS = 60_000
# A task that begins asks GitHub and the api a good deal: many at once begin one after the other.
MAX_TASKS_PER_SECOND = 10.0


def composer(settings: LangGraphSettings) -> Compose:
    """Return the compose function of one langgraph process."""

    async def compose(composition: Composition) -> None:
        services = await _services(composition, settings)
        owner = settings.consumer_name(SERVICE)
        checkpoints = await composition.stack.enter_async_context(
            open_checkpoints(
                settings.checkpoint_database_url.get_secret_value(),
                application_name=owner,
                max_connections=settings.checkpoint_max_connections,
            )
        )
        composition.ready_check("checkpoints", checkpoints.ping)
        leases = Leases(services.api, services.clock, owner, ttl_seconds=settings.lease_seconds)
        driver = Driver(services, checkpoints, leases)
        for sub in subscriptions(Consumers(services, driver), settings):
            composition.consume(services.bus, sub)
        poller = Poller(services.api, driver, owner)
        composition.periodic("poll", poller.run, interval_seconds=settings.poll_interval_seconds)

    return compose


async def _services(composition: Composition, settings: LangGraphSettings) -> Services:
    stack = composition.stack
    api = ApiClient(settings.api_url, settings.api_token.get_secret_value())
    stack.push_async_callback(api.aclose)
    bus = RedisStreamClient(url=settings.redis_url.get_secret_value(), service=SERVICE)
    stack.push_async_callback(bus.close)
    private_key = SecretStr(settings.github_app_private_key_file.read_text())
    github = GitHubClient(AppCredentials(settings.github_app_id, private_key), api_url=settings.github_api_url)
    stack.push_async_callback(github.aclose)
    prober = HttpProber()
    stack.push_async_callback(prober.aclose)
    return Services(bus, api, github, SystemClock(), prober, settings.policy)


def subscriptions(
    consumers: Consumers, settings: LangGraphSettings
) -> tuple[
    StreamSub[EngineeringMessage],
    StreamSub[DeployMessage],
    StreamSub[ScaffolderResult],
    StreamSub[WorkerResponse],
    StreamSub[DeveloperWorkerOutput],
]:
    """Return the five conversations this service listens to; messages of one run keep their order."""

    def sub(
        stream: Stream[M],
        handler: Callable[[M, Delivery], Awaitable[None]],
        key: Callable[[M], str],
        max_per_second: float | None = None,
    ) -> StreamSub[M]:
        return StreamSub(
            stream,
            SERVICE,
            settings.consumer_name(SERVICE),
            handler,
            concurrency=settings.concurrency,
            ordering_key=key,
            reclaim_idle_ms=RECLAIM_IDLE_MS,
            max_per_second=max_per_second,
            service=SERVICE,
        )

    return (
        sub(ENGINEERING_QUEUE, consumers.engineering, _task_of, MAX_TASKS_PER_SECOND),
        sub(DEPLOY_QUEUE, consumers.deploy, _task_of, MAX_TASKS_PER_SECOND),
        sub(SCAFFOLDER_RESULTS, consumers.scaffolded, _run_of_request),
        sub(WORKER_RESPONSES_DEVELOPER, consumers.worker_response, _run_of_request),
        sub(DEVELOPER_OUTPUT, consumers.worker_output, _run_of_request),
    )


def _task_of(message: EngineeringMessage | DeployMessage) -> str:
    return message.task_id


def _run_of_request(message: ScaffolderResult | WorkerResponse | DeveloperWorkerOutput) -> str:
    return message.request_id.partition(":")[0]
