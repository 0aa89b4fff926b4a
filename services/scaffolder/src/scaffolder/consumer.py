"""Answers scaffolder:queue: each request gets a result, also when the last try failed."""

from __future__ import annotations

from scaffolder.service import ScaffoldService
from shared.contracts.queues.events import AdminNotification
from shared.contracts.queues.work import ScaffolderMessage, ScaffolderResult
from shared.contracts.topology import ADMIN_NOTIFICATIONS, SCAFFOLDER_RESULTS
from shared.contracts.vocabulary import ResultStatus
from shared.infra import Clock
from shared.logging import get_logger
from shared.redis.bus import Bus
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import Delivery
from shared.runtime.errors import Category, PlatformError

log = get_logger(__name__)
SERVICE = "scaffolder"


class ScaffolderConsumer:
    """A permanent refusal is an answer; anything else is tried again and answered when no try is left."""

    def __init__(self, bus: Bus, service: ScaffoldService, clock: Clock, retry: RetryPolicy | None = None) -> None:
        self._bus = bus
        self._service = service
        self._clock = clock
        self._retry = retry or RetryPolicy()

    async def handle(self, message: ScaffolderMessage, delivery: Delivery) -> None:
        """Scaffold and publish the result."""
        started = self._clock.monotonic()
        try:
            project = await self._service.scaffold(message)
        except PlatformError as error:
            await self._failed(message, delivery, error, started)
            return
        log.info("scaffolded", project=project.id, repository=project.repo_full_name)
        result = ScaffolderResult(
            request_id=message.request_id,
            project_id=message.project_id,
            status=ResultStatus.SUCCESS,
            repo_url=project.repo_url,
            files_generated=project.files,
            duration_ms=self._elapsed(started),
        )
        await self._bus.publish(SCAFFOLDER_RESULTS, result)

    async def _failed(
        self, message: ScaffolderMessage, delivery: Delivery, error: PlatformError, started: float
    ) -> None:
        is_refusal = error.category in (Category.PERMANENT, Category.FATAL)
        if not is_refusal and self._retry.delay(error.category, delivery.attempt) is not None:
            raise error
        result = ScaffolderResult(
            request_id=message.request_id,
            project_id=message.project_id,
            status=ResultStatus.FAILED if is_refusal else ResultStatus.ERROR,
            error=str(error),
            duration_ms=self._elapsed(started),
        )
        await self._bus.publish(SCAFFOLDER_RESULTS, result)
        log.warning("not scaffolded", project=message.project_id, code=error.code, error=str(error))
        if error.category is Category.FATAL:
            await self._bus.publish(ADMIN_NOTIFICATIONS, _wrong_credentials(error))
        if not is_refusal:
            raise error

    def _elapsed(self, started: float) -> int:
        return round((self._clock.monotonic() - started) * 1000)


def _wrong_credentials(error: PlatformError) -> AdminNotification:
    return AdminNotification(
        service=SERVICE, level="error", title="GitHub refuses the App", text=str(error), key=f"{SERVICE}:{error.code}"
    )
