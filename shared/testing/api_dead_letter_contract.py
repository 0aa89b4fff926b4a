"""What every api must do for dead letters, whoever implements it: rows, requests, and repeats that change nothing.

A test class derives from ApiDeadLetterContract and provides the fixture `api`. Rows of other tests may exist.
"""

from __future__ import annotations

import asyncio

import pytest

from shared.clients.api_port import Api
from shared.clients.errors import Conflict, Invalid, NotFound
from shared.contracts.base import new_id
from shared.contracts.dto.infrastructure import DeadLetterCreate, DeadLetterDTO, DeadLetterFilter
from shared.contracts.vocabulary import DeadLetterState


def dead_letter(**fields: str) -> DeadLetterCreate:
    """Return a dead letter of a stream and an entry of its own."""
    name = new_id()[:12]
    body = DeadLetterCreate(
        stream=f"stream-{name}",
        group="langgraph",
        entry_id=f"{name}-0",
        reason="invalid",
        error="no",
        attempts=3,
        service="langgraph",
        body="{}",
        letter_id="7-0",
    )
    return body.model_copy(update=fields)


async def recorded(api: Api, **fields: str) -> DeadLetterDTO:
    return await api.record_dead_letter(dead_letter(**fields))


class ApiDeadLetterContract:
    async def test_a_dead_letter_is_stored_once_and_open(self, api: Api) -> None:
        body = dead_letter()
        first = await api.record_dead_letter(body)
        assert (first.state, first.outcome, first.letter_id) == (DeadLetterState.OPEN, None, "7-0")
        assert await api.record_dead_letter(body.model_copy(update={"letter_id": "8-0"})) == first
        assert await api.get_dead_letter(first.id) == first
        assert first in await api.list_dead_letters()

    async def test_dead_letters_are_found_by_stream_reason_and_state(self, api: Api) -> None:
        first = await recorded(api)
        other = await recorded(api, stream=first.stream, reason="undecodable")
        assert await api.list_dead_letters(stream=first.stream) == [first, other]
        assert await api.list_dead_letters(stream=first.stream, reason="undecodable") == [other]
        asked = await api.replay_dead_letter(first.id)
        assert await api.list_dead_letters(stream=first.stream, state=DeadLetterState.REPLAY_REQUESTED) == [asked]
        assert await api.list_dead_letters(stream=first.stream, state=DeadLetterState.OPEN) == [other]

    async def test_a_replay_is_asked_for_once_however_often_it_is_wanted(self, api: Api) -> None:
        row = await recorded(api)
        answers = await asyncio.gather(*(api.replay_dead_letter(row.id) for _ in range(5)))
        assert {answer.state for answer in answers} == {DeadLetterState.REPLAY_REQUESTED}
        assert len({answer.updated_at for answer in answers}) == 1

    async def test_a_discard_is_asked_for_once_however_often_it_is_wanted(self, api: Api) -> None:
        row = await recorded(api)
        first = await api.discard_dead_letter(row.id)
        assert first.state is DeadLetterState.DISCARD_REQUESTED
        assert await api.discard_dead_letter(row.id) == first

    async def test_what_is_to_be_discarded_is_not_replayed_and_the_other_way_round(self, api: Api) -> None:
        discarded, replayed = await recorded(api), await recorded(api)
        await api.discard_dead_letter(discarded.id)
        await api.replay_dead_letter(replayed.id)
        for refusal in (api.replay_dead_letter(discarded.id), api.discard_dead_letter(replayed.id)):
            with pytest.raises(Conflict) as refused:
                await refusal
            assert refused.value.api_code == "dead_letter_settled"

    async def test_replaying_by_filter_takes_the_open_ones_that_match(self, api: Api) -> None:
        first = await recorded(api)
        second = await recorded(api, stream=first.stream)
        invalid = await recorded(api, stream=first.stream, reason="undecodable")
        discarded = await recorded(api, stream=first.stream)
        await api.discard_dead_letter(discarded.id)
        wanted = DeadLetterFilter(stream=first.stream, reason="invalid")
        assert (await api.replay_dead_letters(wanted)).count == 2
        assert (await api.replay_dead_letters(wanted)).count == 0
        asked = await api.list_dead_letters(stream=first.stream, state=DeadLetterState.REPLAY_REQUESTED)
        assert [row.id for row in asked] == [first.id, second.id]
        assert (await api.get_dead_letter(invalid.id)).state is DeadLetterState.OPEN

    async def test_a_filtered_replay_answers_the_same_under_the_same_key(self, api: Api) -> None:
        row, key = await recorded(api), new_id()
        wanted = DeadLetterFilter(stream=row.stream)
        assert (await api.replay_dead_letters(wanted, idempotency_key=key)).count == 1
        assert (await api.replay_dead_letters(wanted, idempotency_key=key)).count == 1
        with pytest.raises(Invalid) as refusal:
            await api.replay_dead_letters(DeadLetterFilter(stream="another"), idempotency_key=key)
        assert refusal.value.api_code == "idempotency_mismatch"

    async def test_an_unknown_dead_letter_is_not_found(self, api: Api) -> None:
        for call in (api.get_dead_letter(10**9), api.replay_dead_letter(10**9), api.discard_dead_letter(10**9)):
            with pytest.raises(NotFound):
                await call
