"""Answers provisioner:queue: one run per host at a time, each request gets a result."""

from __future__ import annotations

from infra_service.errors import HostBusy
from infra_service.plays import PlayOutcome
from infra_service.provisioning import Provisioner
from shared.clients.api_port import Api
from shared.clients.errors import Conflict
from shared.contracts.dto.infrastructure import ServerDTO
from shared.contracts.queues.events import ProvisionerMessage, ProvisionerResult
from shared.contracts.topology import PROVISIONER_RESULTS
from shared.contracts.vocabulary import ResultStatus
from shared.infra import Clock
from shared.logging import get_logger
from shared.redis.bus import Bus
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import Delivery
from shared.runtime.errors import Category, PlatformError

log = get_logger(__name__)
SERVICE = "infra-service"
LEASE_SECONDS = 3600.0
_BUSY_AGAIN_SECONDS = 10.0


class ProvisionerConsumer:
    """A failed play is an answer; what may pass by itself is tried again first."""

    def __init__(self, bus: Bus, api: Api, provisioner: Provisioner, clock: Clock, owner: str) -> None:
        self._bus = bus
        self._api = api
        self._provisioner = provisioner
        self._clock = clock
        self._owner = owner
        self._retry = RetryPolicy()

    async def handle(self, message: ProvisionerMessage, delivery: Delivery) -> None:
        """Prepare the server and publish the result."""
        started = self._clock.monotonic()
        host: str | None = None
        try:
            server = await self._api.get_server(message.server_handle)
            host = server.host
            outcome = await self._alone(server)
        except PlatformError as error:
            if self._may_pass(error, delivery):
                raise
            log.warning("server not prepared", server=message.server_handle, code=error.code, error=str(error))
            outcome = PlayOutcome(status="failed", failures=[str(error)])
        await self._bus.publish(PROVISIONER_RESULTS, self._result(message, host, outcome, started))

    async def _alone(self, server: ServerDTO) -> PlayOutcome:
        """Hold the host's lease during the play; a process that was killed takes its own lease over again."""
        name = f"provision:{server.handle}"
        try:
            lease = await self._api.claim_lease(name, self._owner, LEASE_SECONDS)
        except Conflict as error:
            raise HostBusy(str(error), retry_after_seconds=_BUSY_AGAIN_SECONDS) from error
        try:
            outcome = await self._provisioner.provision(server)
        finally:
            await self._api.release_lease(name, self._owner, lease.fence)
        log.info("server prepared", server=server.handle, status=outcome.status, changed=outcome.changed)
        return outcome

    def _may_pass(self, error: PlatformError, delivery: Delivery) -> bool:
        if error.category is Category.FATAL:
            return True
        return self._retry.delay(error.category, delivery.attempt) is not None

    def _result(
        self, message: ProvisionerMessage, host: str | None, outcome: PlayOutcome, started: float
    ) -> ProvisionerResult:
        return ProvisionerResult(
            request_id=message.request_id,
            server_handle=message.server_handle,
            server_ip=host,
            status=ResultStatus.SUCCESS if outcome.is_successful else ResultStatus.FAILED,
            error=outcome.failures[0] if outcome.failures else None,
            errors=outcome.failures,
            duration_ms=round((self._clock.monotonic() - started) * 1000),
        )
