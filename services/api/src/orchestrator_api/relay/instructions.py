"""Carries out what operators asked for dead letters: replay and discard, one outbox row per transaction.

A replay publishes, marks row and instruction, then removes the dead letter's entry. A crash after the publish and
before the commit publishes once more when the relay is back: one duplicate for each such crash, which readers take as
any other repeat. A crash after the commit leaves an entry in the dead letter stream that nobody asks for and that its
age removes.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from orchestrator_api.relay.outbox import Outbox, OutboxRow
from shared.contracts.dead_letter_policy import REQUESTED
from shared.contracts.topology import stream_named
from shared.contracts.vocabulary import DeadLetterAction, DeadLetterState
from shared.logging import get_logger, redact
from shared.redis.bus import Bus
from shared.redis.errors import BusError
from shared.runtime.errors import Category

log = get_logger(__name__)

_TAKE = "SELECT 1 FROM outbox WHERE id = $1 AND published_at IS NULL FOR UPDATE"
_LETTER = "SELECT id, stream, letter_id, state FROM dead_letters WHERE id = $1 FOR UPDATE"
_SETTLE = "UPDATE dead_letters SET state = $2, outcome = $3, updated_at = clock_timestamp() WHERE id = $1"


class Instruction(BaseModel):
    """The body of an outbox row whose kind is a DeadLetterAction."""

    model_config = ConfigDict(extra="ignore")

    dead_letter_id: int


@dataclass(frozen=True, slots=True)
class Letter:
    """The part of a dead letter's row that the relay needs."""

    id: int
    stream: str
    letter_id: str | None
    state: str


@dataclass(frozen=True, slots=True)
class Outcome:
    state: DeadLetterState
    text: str


class Instructions:
    """Repeating an instruction is harmless: the row's state tells whether it was carried out."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def carry_out(self, outbox: Outbox, row: OutboxRow) -> None:
        """Do what one outbox row asks for; BusError when Redis does not answer, then the row waits."""
        done: Letter | None = None
        async with outbox.draining():
            if await outbox.connection.fetchval(_TAKE, row.id) is None:
                return
            try:
                action = DeadLetterAction(row.kind)
                letter = await self._letter(outbox, row)
            except ValueError as error:
                await outbox.bury(row, error)
                await outbox.mark([row])
                return
            if letter is not None and letter.state == REQUESTED[action]:
                outcome = await self._outcome(action, letter)
                await outbox.connection.execute(_SETTLE, letter.id, outcome.state.value, outcome.text)
                log.info("dead letter settled", dead_letter=letter.id, stream=letter.stream, state=outcome.state.value)
                done = letter if outcome.state is not DeadLetterState.REPLAY_FAILED else None
            await outbox.mark([row])
        if done is not None:
            await self._remove(done)

    async def _letter(self, outbox: Outbox, row: OutboxRow) -> Letter | None:
        number = Instruction.model_validate_json(row.body).dead_letter_id
        found = await outbox.connection.fetchrow(_LETTER, number)
        return Letter(found["id"], found["stream"], found["letter_id"], found["state"]) if found is not None else None

    async def _outcome(self, action: DeadLetterAction, letter: Letter) -> Outcome:
        if action is DeadLetterAction.DISCARD:
            return Outcome(DeadLetterState.DISCARDED, "its entry was removed")
        try:
            return await self._replayed(letter)
        except BusError as error:
            if error.category is not Category.PERMANENT:
                raise
            return _failed(redact(str(error)))

    async def _replayed(self, letter: Letter) -> Outcome:
        stream = stream_named(letter.stream)
        if stream is None:
            return _failed(f"{letter.stream} is no stream of this platform")
        if letter.letter_id is None:
            return _failed("its body was never in a dead letter stream")
        found = await self._bus.entry(stream.dead_letters, letter.letter_id)
        if found is None:
            return _failed(f"its entry {letter.letter_id} is no longer in {stream.dead_letters.name}")
        entry_id = await self._bus.republish_raw(stream, found.body)
        if entry_id is None:
            return _failed(f"the stream {stream.name} no longer exists, so nobody would read it")
        return Outcome(DeadLetterState.REPLAYED, f"published again as {entry_id}")

    async def _remove(self, letter: Letter) -> None:
        stream = stream_named(letter.stream)
        if stream is not None and letter.letter_id is not None:
            await self._bus.remove(stream.dead_letters, letter.letter_id)


def _failed(why: str) -> Outcome:
    return Outcome(DeadLetterState.REPLAY_FAILED, why)
