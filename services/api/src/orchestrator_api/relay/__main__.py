"""`python -m orchestrator_api.relay`: publish the outbox until SIGTERM."""

from __future__ import annotations

from shared.runtime import quick_start as quick_start  # first

# isort: split

import functools
import sys

from orchestrator_api.relay.relay import Relay
from orchestrator_api.settings import RelaySettings
from shared.redis.client import RedisStreamClient
from shared.runtime.service import Composition, run_service
from shared.runtime.settings import settings_or_exit


async def compose(process: Composition, settings: RelaySettings) -> None:
    """Wire one relay process."""
    bus = RedisStreamClient(url=settings.redis_url.get_secret_value(), service="api-relay")
    process.stack.push_async_callback(bus.close)
    relay = Relay(
        settings.database_url.get_secret_value(),
        bus,
        batch=settings.relay_batch,
        poll_seconds=settings.relay_poll_seconds,
    )
    process.loop("relay", relay.run)
    process.ready_check("database", relay.ping)
    process.ready_check("redis", bus.ping)
    process.health.add_metrics(bus.render_metrics)


def main() -> int:
    """Run until SIGTERM."""
    settings = settings_or_exit("api-relay", RelaySettings)
    return run_service("api-relay", settings, functools.partial(compose, settings=settings))


if __name__ == "__main__":
    sys.exit(main())
