"""The worker's loop body: read one message, have it answered, publish the answer, acknowledge. In that order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from shared.contracts.base import correlation
from shared.logging import get_logger
from shared.redis.bus import Bus
from shared.redis.errors import BusDenied
from shared.redis.subscription import Received
from worker_wrapper.keys import GROUP
from worker_wrapper.lifecycle import Lifecycle
from worker_wrapper.outbox import Outbox
from worker_wrapper.patience import Patience
from worker_wrapper.profiles import In, Out, Profile
from worker_wrapper.status import StatusHash

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reports:
    """Where the worker tells what it is doing."""

    lifecycle: Lifecycle
    status: StatusHash


class Desk(Generic[In, Out]):
    """Handles one message at a time of one profile's stream."""

    def __init__(
        self,
        bus: Bus,
        profile: Profile[In, Out],
        consumer: str,
        outbox: Outbox,
        reports: Reports,
        patience: Patience,
    ) -> None:
        self._bus = bus
        self._profile = profile
        self._consumer = consumer
        self._outbox = outbox
        self._lifecycle = reports.lifecycle
        self._status = reports.status
        self._patience = patience
        self._resent: set[str] = set()
        self._has_group = False

    async def resend(self) -> None:
        """Send what an earlier life of this worker could not."""
        for kept in self._outbox.unsent():
            output = self._profile.outputs.adapter.validate_json(kept.body)
            await self._publish(output)
            self._outbox.keep(kept.request_id, kept.body, is_sent=True)
            self._resent.add(kept.request_id)

    async def process_one(self, block_ms: int | None = None) -> bool:
        """Handle one message; False when there was none. Interrupted leaves it pending: it goes back."""
        received = await self._fetch(block_ms)
        if received is None:
            return False
        message = received.message
        with correlation(message.correlation_id):
            fields = {**self._profile.claim_fields(message), "correlation_id": message.correlation_id}
            stream = self._profile.inputs.name
            await self._patience.keep_trying(lambda: self._status.claim(fields, stream, received.entry_id))
            output = await self._answer(message)
            if message.request_id not in self._resent:
                await self._publish(output)
            self._resent.discard(message.request_id)
            self._outbox.keep(message.request_id, output.model_dump_json(), is_sent=True)
            await self._patience.keep_trying(self._status.release)
            await self._patience.keep_trying(lambda: self._bus.ack(self._profile.inputs, GROUP, received.entry_id))
            await self._patience.keep_trying(
                lambda: self._lifecycle.answered(message.request_id, output.status, output.error)
            )
        return True

    async def _answer(self, message: In) -> Out:
        kept = self._outbox.find(message.request_id)
        if kept is not None:
            logger.info("request_repeated", request_id=message.request_id)
            return self._profile.restamp(kept.body, message)
        output = await self._profile.answer(message)
        self._outbox.keep(message.request_id, output.model_dump_json(), is_sent=False)
        return output

    async def _publish(self, output: Out) -> None:
        await self._patience.keep_trying(lambda: self._bus.publish(self._profile.outputs, output))

    async def _fetch(self, block_ms: int | None) -> Received[In] | None:
        if not self._has_group:
            await self._have_group()
        found = await self._patience.keep_trying(lambda: self._fetch_once(block_ms))
        return found[0] if found else None

    async def _fetch_once(self, block_ms: int | None) -> list[Received[In]]:
        fetching = self._bus.fetch(self._profile.inputs, GROUP, self._consumer, block_ms=block_ms)
        return await self._patience.unless_stopped(fetching)

    async def _have_group(self) -> None:
        """Create the group where that is allowed; where it is not, fetching waits for whoever creates it."""
        try:
            await self._patience.keep_trying(lambda: self._bus.ensure_group(self._profile.inputs, GROUP))
        except BusDenied:
            logger.info("group_left_to_manager", stream=self._profile.inputs.name)
        self._has_group = True
