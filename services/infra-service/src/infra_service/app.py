"""infra-service's composition root."""

from __future__ import annotations

from infra_service.consumer import SERVICE, ProvisionerConsumer
from infra_service.plays import AnsiblePlays
from infra_service.provisioning import Provisioner
from infra_service.settings import InfraSettings, ansible_environment
from shared.clients.api import ApiClient
from shared.contracts.queues.events import ProvisionerMessage
from shared.contracts.topology import PROVISIONER_QUEUE
from shared.infra import SystemClock
from shared.redis.client import RedisStreamClient
from shared.redis.subscription import StreamSub
from shared.runtime.service import Compose, Composition

# Above three tries with their pauses, so that a slow play is not taken over while it is in hand.
RECLAIM_IDLE_MARGIN_SECONDS = 120.0
TRIES = 3


def composer(settings: InfraSettings) -> Compose:
    """Return the compose function of one infra-service process."""

    async def compose(composition: Composition) -> None:
        clock = SystemClock()
        api = ApiClient(settings.api_url, settings.api_token.get_secret_value())
        composition.stack.push_async_callback(api.aclose)
        bus = RedisStreamClient(url=settings.redis_url.get_secret_value(), service=SERVICE)
        composition.stack.push_async_callback(bus.close)
        plays = AnsiblePlays(ansible_environment(), settings.play_seconds)
        name = settings.consumer_name(SERVICE)
        consumer = ProvisionerConsumer(bus, api, Provisioner(plays, settings, clock), clock, name)
        composition.consume(
            bus,
            StreamSub(
                PROVISIONER_QUEUE,
                SERVICE,
                name,
                consumer.handle,
                ordering_key=_host_of,
                reclaim_idle_ms=int((settings.play_seconds * TRIES + RECLAIM_IDLE_MARGIN_SECONDS) * 1000),
                service=SERVICE,
            ),
        )

    return compose


def _host_of(message: ProvisionerMessage) -> str:
    return message.server_handle
