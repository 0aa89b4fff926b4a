"""Servers: asks infra-service to prepare those that wait for it, and records what came of it."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.clients.api_port import Api
from shared.contracts.dto.infrastructure import IncidentCreate, ServerDTO, ServerUpdate
from shared.contracts.queues.events import AdminNotification, ProvisionerMessage, ProvisionerResult
from shared.contracts.topology import ADMIN_NOTIFICATIONS, PROVISIONER_QUEUE
from shared.contracts.vocabulary import IncidentSeverity, ResultStatus, ServerStatus
from shared.infra import Clock
from shared.logging import get_logger
from shared.redis.bus import Bus
from shared.redis.subscription import Delivery

ASK_AGAIN = timedelta(minutes=10)
SERVICE = "scheduler"


def incident_key(handle: str) -> str:
    """Return the key under which a server's failed preparation is open once."""
    return f"provisioning:{handle}"


class Provisioning:
    def __init__(self, api: Api, bus: Bus, clock: Clock) -> None:
        self._api = api
        self._bus = bus
        self._clock = clock
        self._asked: dict[str, datetime] = {}
        self._log = get_logger(__name__)

    async def trigger(self) -> None:
        """Ask for every server that waits to be prepared, at most once per ten minutes each."""
        now = self._clock.now()
        for status in (ServerStatus.NEW, ServerStatus.PENDING_SETUP):
            for server in await self._api.list_servers(status=status):
                if now - self._asked.get(server.handle, now - ASK_AGAIN) >= ASK_AGAIN:
                    self._asked[server.handle] = now
                    await self._ask(server)

    async def _ask(self, server: ServerDTO) -> None:
        await self._bus.publish(
            PROVISIONER_QUEUE,
            ProvisionerMessage(server_handle=server.handle, is_recovery=server.last_error is not None),
        )

    async def on_result(self, result: ProvisionerResult, _: Delivery) -> None:
        """Record how a preparation ended; a failure opens an incident and tells the administrators."""
        self._asked.pop(result.server_handle, None)
        key = incident_key(result.server_handle)
        if result.status is ResultStatus.SUCCESS:
            await self._api.update_server(
                result.server_handle, ServerUpdate(status=ServerStatus.ACTIVE, host=result.server_ip)
            )
            await self._api.resolve_incident(key)
            return
        error = result.error or "; ".join(result.errors) or "no reason given"
        self._log.error("provisioning_failed", server=result.server_handle, error=error)
        await self._api.update_server(
            result.server_handle, ServerUpdate(status=ServerStatus.UNREACHABLE, last_error=error)
        )
        title = f"server {result.server_handle} could not be prepared"
        await self._api.open_incident(
            IncidentCreate(
                key=key, server_handle=result.server_handle, severity=IncidentSeverity.HIGH, title=title, detail=error
            )
        )
        await self._bus.publish(
            ADMIN_NOTIFICATIONS,
            AdminNotification(
                service=SERVICE, level="error", title=title, text=error, key=f"{key}:{result.request_id}"
            ),
        )
