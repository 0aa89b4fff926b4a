"""Dead letters in memory: requests are written into the rows; nothing carries them out."""

from __future__ import annotations

from shared.clients.errors import NotFound
from shared.contracts.dead_letter_policy import REFUSAL_CODE, REQUESTED, is_settled, may_request
from shared.contracts.dto.infrastructure import (
    DeadLetterCreate,
    DeadLetterDTO,
    DeadLetterFilter,
    DeadLettersRequested,
)
from shared.contracts.vocabulary import DeadLetterAction, DeadLetterState
from shared.testing.api_store import FakeApiStore, refused

REPLAY_ROUTE = "dead-letters/replay"


class FakeDeadLetters(FakeApiStore):
    """One row per stream, entry and group."""

    async def record_dead_letter(self, body: DeadLetterCreate) -> DeadLetterDTO:
        for row in self.dead_letters.values():
            if (row.stream, row.entry_id, row.group) == (body.stream, body.entry_id, body.group):
                return row
        now = self.now()
        row = DeadLetterDTO(
            **body.model_dump(),
            id=self.next_number(),
            state=DeadLetterState.OPEN,
            outcome=None,
            created_at=now,
            updated_at=now,
        )
        self.dead_letters[row.id] = row
        return row

    async def list_dead_letters(
        self, *, stream: str | None = None, reason: str | None = None, state: DeadLetterState | None = None
    ) -> list[DeadLetterDTO]:
        return [
            row
            for row in self.dead_letters.values()
            if stream in (None, row.stream) and reason in (None, row.reason) and state in (None, row.state)
        ]

    async def get_dead_letter(self, letter_id: int) -> DeadLetterDTO:
        try:
            return self.dead_letters[letter_id]
        except KeyError:
            raise NotFound(f"there is no dead letter {letter_id}") from None

    async def replay_dead_letter(self, letter_id: int) -> DeadLetterDTO:
        return await self._request(letter_id, DeadLetterAction.REPLAY)

    async def replay_dead_letters(
        self, body: DeadLetterFilter, *, idempotency_key: str | None = None
    ) -> DeadLettersRequested:
        if (known := self.first_answer(REPLAY_ROUTE, idempotency_key, body, DeadLettersRequested)) is not None:
            return known
        rows = await self.list_dead_letters(stream=body.stream, reason=body.reason, state=DeadLetterState.OPEN)
        for row in rows:
            await self._request(row.id, DeadLetterAction.REPLAY)
        answer = DeadLettersRequested(count=len(rows))
        self.keep_answer(REPLAY_ROUTE, idempotency_key, body, answer)
        return answer

    async def discard_dead_letter(self, letter_id: int) -> DeadLetterDTO:
        return await self._request(letter_id, DeadLetterAction.DISCARD)

    async def _request(self, letter_id: int, action: DeadLetterAction) -> DeadLetterDTO:
        row = await self.get_dead_letter(letter_id)
        if not may_request(row.state, action):
            raise refused(REFUSAL_CODE, f"dead letter {row.id} is {row.state}")
        if not is_settled(row.state, action):
            news = {"state": REQUESTED[action], "outcome": None, "updated_at": self.now()}
            self.dead_letters[letter_id] = row.model_copy(update=news)
        return self.dead_letters[letter_id]
