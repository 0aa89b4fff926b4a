"""The scheduler's composition root."""

from __future__ import annotations

from datetime import timedelta

from orchestrator_scheduler.jobs.dead_letters import DeadLetters
from orchestrator_scheduler.jobs.provisioning import SERVICE, Provisioning
from orchestrator_scheduler.jobs.reconciler import Patience, Reconciler
from orchestrator_scheduler.leadership import Leader
from orchestrator_scheduler.settings import SchedulerSettings
from shared.clients.api import ApiClient
from shared.contracts.topology import PROVISIONER_RESULTS
from shared.infra import SystemClock
from shared.redis.client import RedisStreamClient
from shared.redis.subscription import StreamSub
from shared.runtime.service import Compose, Composition

LEASE_ROUNDS = 3
MIN_LEASE_SECONDS = 10.0
MAX_LEASE_SECONDS = 3600.0


def composer(settings: SchedulerSettings) -> Compose:
    """Return the compose function of one scheduler process."""

    async def compose(composition: Composition) -> None:
        clock = SystemClock()
        api = ApiClient(settings.api_url, settings.api_token.get_secret_value())
        composition.stack.push_async_callback(api.aclose)
        bus = RedisStreamClient(url=settings.redis_url.get_secret_value(), service=SERVICE)
        composition.stack.push_async_callback(bus.close)
        consumer = f"{SERVICE}-{settings.service_replica}"
        leader = Leader(api, consumer)
        patience = Patience(
            orphan=timedelta(seconds=settings.orphan_age_seconds), overdue=timedelta(seconds=settings.overdue_seconds)
        )
        reconciler = Reconciler(api, bus, clock, patience)
        provisioning = Provisioning(api, bus, clock)
        letters = DeadLetters(api, bus, clock)
        jobs = [
            ("task_reconciler", reconciler.run, settings.reconcile_interval_seconds),
            ("provisioner_trigger", provisioning.trigger, settings.provisioner_interval_seconds),
            ("dead_letter_copier", letters.copy, settings.dead_letter_interval_seconds),
            ("worker_dead_letter_copier", letters.copy_of_workers, settings.worker_dead_letter_interval_seconds),
            ("dead_letter_trimmer", letters.trim, settings.dead_letter_trim_interval_seconds),
        ]
        for name, job, interval in jobs:
            lease_seconds = min(max(interval * LEASE_ROUNDS, MIN_LEASE_SECONDS), MAX_LEASE_SECONDS)
            composition.periodic(name, leader.only(name, job, lease_seconds), interval_seconds=interval)
        composition.consume(
            bus,
            StreamSub(PROVISIONER_RESULTS, SERVICE, consumer, provisioning.on_result, concurrency=1, service=SERVICE),
        )

    return compose
