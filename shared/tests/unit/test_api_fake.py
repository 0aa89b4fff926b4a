"""The in-memory api keeps the contract of the real one, and stamps with the clock it is given."""

from __future__ import annotations

import pytest

from shared.clients.errors import Conflict
from shared.contracts.dto.work import ProjectCreate, RunClaim
from shared.testing import FakeApi, FakeClock, SequenceIds
from shared.testing.api_contract import ApiContract
from shared.testing.api_dead_letter_contract import ApiDeadLetterContract
from shared.testing.api_run_contract import ApiRunContract
from shared.testing.api_scenes import claimed_run


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


class TestFakeApi(ApiContract):
    pass


class TestFakeApiRuns(ApiRunContract):
    pass


class TestFakeApiDeadLetters(ApiDeadLetterContract):
    pass


async def test_a_lease_of_a_run_ends_with_the_clock() -> None:
    clock = FakeClock()
    api = FakeApi(clock)
    run = await claimed_run(api)
    clock.advance(59)
    with pytest.raises(Conflict):
        await api.claim_run(run.id, RunClaim(owner="other"))
    clock.advance(2)
    assert (await api.claim_run(run.id, RunClaim(owner="other"))).fence == 2


async def test_ids_come_from_the_source_it_is_given() -> None:
    api = FakeApi(ids=SequenceIds("p-"))
    assert (await api.create_project(ProjectCreate(name="todo", owner_id="u"))).id == "p-1"
