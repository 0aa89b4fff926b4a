"""The scaffolder's composition root."""

from __future__ import annotations

from pydantic import SecretStr

from scaffolder.consumer import SERVICE, ScaffolderConsumer
from scaffolder.rendering import Renderer
from scaffolder.repository import Repositories
from scaffolder.service import ScaffoldService
from scaffolder.settings import ScaffolderSettings, child_environment
from shared.clients.api import ApiClient
from shared.clients.github.auth import AppCredentials
from shared.clients.github.client import GitHubClient
from shared.contracts.queues.work import ScaffolderMessage
from shared.contracts.topology import SCAFFOLDER_QUEUE
from shared.infra import SystemClock
from shared.redis.client import RedisStreamClient
from shared.redis.subscription import StreamSub
from shared.runtime.service import Compose, Composition

# Above the sum of every deadline of one message, so that a slow one is not taken over while it is in hand.
RECLAIM_IDLE_MS = 600_000


def composer(settings: ScaffolderSettings) -> Compose:
    """Return the compose function of one scaffolder process."""

    async def compose(composition: Composition) -> None:
        api = ApiClient(settings.api_url, settings.api_token.get_secret_value())
        composition.stack.push_async_callback(api.aclose)
        bus = RedisStreamClient(url=settings.redis_url.get_secret_value(), service=SERVICE)
        composition.stack.push_async_callback(bus.close)
        private_key = SecretStr(settings.github_app_private_key_file.read_text())
        github = GitHubClient(AppCredentials(settings.github_app_id, private_key), api_url=settings.github_api_url)
        composition.stack.push_async_callback(github.aclose)
        environment = child_environment()
        service = ScaffoldService(
            api,
            github,
            Repositories(github, settings.github_owner),
            Renderer(settings.template, environment),
            environment=environment,
            web_url=settings.github_web_url,
        )
        consumer = ScaffolderConsumer(bus, service, SystemClock())
        composition.consume(
            bus,
            StreamSub(
                SCAFFOLDER_QUEUE,
                SERVICE,
                settings.consumer_name(SERVICE),
                consumer.handle,
                ordering_key=_project_of,
                reclaim_idle_ms=RECLAIM_IDLE_MS,
                service=SERVICE,
            ),
        )

    return compose


def _project_of(message: ScaffolderMessage) -> str:
    return message.project_id
