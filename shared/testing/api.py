"""The api in memory: the same refusals, fences, keys and state machines as the real one, without an outbox."""

from __future__ import annotations

from shared.testing.api_accounts import FakeAccounts
from shared.testing.api_dead_letters import FakeDeadLetters
from shared.testing.api_infrastructure import FakeInfrastructure
from shared.testing.api_runs import FakeRuns
from shared.testing.api_work import FakeWork


class FakeApi(FakeWork, FakeRuns, FakeAccounts, FakeInfrastructure, FakeDeadLetters):
    """The `Api` port in memory. Rows are public attributes, so that tests may look at them and seed them."""

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""
