"""What a node may use while a run is driven: the services, the claimed run, its journal and its transitions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from agent_graphs.errors import IllegalTransition, LeaseLost, RunEnded
from agent_graphs.journal import Journal
from agent_graphs.policy import Policy
from agent_graphs.probe import Prober
from shared.clients.api_port import Api
from shared.clients.errors import Conflict
from shared.clients.github.port import GitHub
from shared.contracts.dto.work import RunDTO, RunFacts, TransitionRequest
from shared.contracts.run_machine import TERMINAL_STATES, TRANSITIONS, RunEventName
from shared.infra import Clock
from shared.redis.bus import Bus


@dataclass(frozen=True, slots=True)
class Services:
    """Everything outside the process that the graphs touch."""

    bus: Bus
    api: Api
    github: GitHub
    clock: Clock
    prober: Prober
    policy: Policy


@dataclass(slots=True)
class Drive:
    """One claimed run in this process. `run` is the row as last seen; `is_resuming` until its wait node went on."""

    services: Services
    run: RunDTO
    journal: Journal
    is_lease_lost: bool = False
    is_resuming: bool = False

    def require_lease(self) -> None:
        """Raise LeaseLost once the heartbeat was refused."""
        if self.is_lease_lost:
            raise LeaseLost(self.run.id)

    def now(self) -> datetime:
        return self.services.clock.now()

    def after(self, seconds: float) -> str:
        """Return the ISO time that many seconds from now."""
        return (self.now() + timedelta(seconds=seconds)).isoformat()

    def is_past(self, moment: str) -> bool:
        return self.now() >= datetime.fromisoformat(moment)

    def allows(self, event: RunEventName) -> bool:
        """Tell whether the run's state, as last seen, has a row for this event."""
        return (self.run.state, event) in TRANSITIONS[self.run.kind]

    async def transition(
        self,
        event: RunEventName,
        key: str,
        *,
        reason: str | None = None,
        message: str | None = None,
        facts: RunFacts | None = None,
    ) -> None:
        """Perform one row of the state machine, once per key.

        Raises RunEnded when somebody else ended the run, LeaseLost when somebody else drives it.
        """
        body = TransitionRequest(
            event=event, fence=self.run.fence, key=key, reason=reason, message=message, facts=facts or RunFacts()
        )
        try:
            self.run = await self.services.api.transition(self.run.id, body)
        except Conflict as refusal:
            await self._explain(event, refusal)

    async def end(
        self,
        event: RunEventName,
        key: str,
        *,
        reason: str | None = None,
        message: str | None = None,
        facts: RunFacts | None = None,
    ) -> None:
        """Perform a transition into a final state: what the journal holds goes first, nothing follows."""
        self.journal.node_finished()
        await self.journal.flush()
        self.journal.close()
        await self.transition(event, key, reason=reason, message=message, facts=facts)

    async def _explain(self, event: RunEventName, refusal: Conflict) -> None:
        fence = self.run.fence
        self.run = await self.services.api.get_run(self.run.id)
        if self.run.state in TERMINAL_STATES:
            raise RunEnded(self.run.id) from refusal
        if self.run.fence != fence:
            self.is_lease_lost = True
            raise LeaseLost(self.run.id) from refusal
        raise IllegalTransition(f"{event} refused in state {self.run.state}: {refusal}") from refusal
