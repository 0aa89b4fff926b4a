"""What `codegen dlq` prints and asks for."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.console import Console

from local_stack.dead_letters import DeadLetterDesk
from local_stack.errors import Precondition
from shared.clients.errors import Conflict, NotFound
from shared.contracts.dto.infrastructure import DeadLetterDTO, DeadLetterFilter
from shared.contracts.vocabulary import DeadLetterState
from shared.testing import FakeApi
from shared.testing.api_dead_letter_contract import recorded

ANY = DeadLetterFilter()


class Desk(DeadLetterDesk):
    """A desk whose words are kept."""

    def __init__(self, api: FakeApi, *, as_json: bool = False) -> None:
        self.out = StringIO()
        console = Console(file=self.out, width=200)
        super().__init__(api, console, lambda text: print(text, file=self.out), as_json=as_json)

    @property
    def said(self) -> str:
        return self.out.getvalue()


async def letter(api: FakeApi, **fields: str) -> DeadLetterDTO:
    return await recorded(api, **{"stream": "engineering:queue", "error": "[bold]no such task", **fields})


async def test_a_list_names_id_stream_and_error_as_they_are() -> None:
    api, desk = FakeApi(), Desk(FakeApi())
    await desk.list(None, None, None)
    assert desk.said == "there are no such dead letters\n"
    desk = Desk(api)
    row = await letter(api)
    await desk.list(None, None, DeadLetterState.OPEN)
    heading, line, error = desk.said.splitlines()
    assert heading.split() == ["id", "since", "state", "stream", "reason", "tries"]
    assert [line.split()[0], *line.split()[3:]] == [str(row.id), "open", "engineering:queue", "invalid", "3"]
    assert error == "    [bold]no such task"


async def test_json_is_what_the_api_says_and_nothing_else() -> None:
    api = FakeApi()
    row = await letter(api, body="Привет")
    desk = Desk(api, as_json=True)
    await desk.list(None, None, None)
    assert json.loads(desk.said) == [row.model_dump(mode="json")]
    assert "Привет" in desk.said
    desk = Desk(api, as_json=True)
    await desk.show(row.id)
    assert json.loads(desk.said)["id"] == row.id
    desk = Desk(api, as_json=True)
    await desk.replay([row.id], ANY, is_all=False)
    assert json.loads(desk.said)[0]["state"] == "replay_requested"
    desk = Desk(api, as_json=True)
    await desk.replay([], ANY, is_all=True)
    assert json.loads(desk.said) == {"count": 0}


async def test_one_is_shown_with_its_body() -> None:
    api = FakeApi()
    row = await letter(api, body='{"task_id": "t1"}')
    desk = Desk(api)
    await desk.show(row.id)
    assert desk.said.endswith('{"task_id": "t1"}\n')
    assert "engineering:queue" in desk.said
    with pytest.raises(NotFound, match="there is no dead letter 99"):
        await desk.show(99)


async def test_the_named_ones_are_replayed() -> None:
    api = FakeApi()
    first, second, third = [await letter(api) for _ in range(3)]
    desk = Desk(api)
    await desk.replay([first.id, third.id], ANY, is_all=False)
    assert desk.said.splitlines() == [
        f"dead letter {row.id} of engineering:queue: replay requested" for row in (first, third)
    ]
    assert await api.get_dead_letter(second.id) == second


async def test_all_and_filtered_replays_tell_their_number() -> None:
    api = FakeApi()
    for reason in ("invalid", "invalid", "undecodable"):
        await letter(api, reason=reason)
    desk = Desk(api)
    await desk.replay([], DeadLetterFilter(reason="undecodable"), is_all=False)
    await desk.replay([], ANY, is_all=True)
    assert desk.said.splitlines() == [
        "replay requested for 1 dead letter",
        "replay requested for 2 dead letters",
    ]


@pytest.mark.parametrize(
    ("ids", "wanted", "is_all"), [([], ANY, False), ([1], ANY, True), ([1], DeadLetterFilter(stream="s"), False)]
)
async def test_a_replay_that_names_nothing_or_too_much_is_refused(
    ids: list[int], wanted: DeadLetterFilter, is_all: bool
) -> None:
    with pytest.raises(Precondition, match="say which dead letters to replay"):
        await Desk(FakeApi()).replay(ids, wanted, is_all=is_all)


async def test_a_discarded_one_cannot_be_replayed() -> None:
    api = FakeApi()
    row = await letter(api)
    desk = Desk(api)
    await desk.discard([row.id])
    assert desk.said == f"dead letter {row.id} of engineering:queue: discard requested\n"
    with pytest.raises(Conflict, match="is discard_requested"):
        await desk.replay([row.id], ANY, is_all=False)


async def test_a_body_cannot_steer_the_terminal() -> None:
    api, desk = FakeApi(), Desk(FakeApi())
    row = await letter(api, body="a\x1b[2Jb", error="c\x1b]0;x\x07d")
    desk = Desk(api)
    await desk.show(row.id)
    await desk.list(None, None, None)
    assert "\x1b" not in desk.said
    assert "a\\x1b[2Jb" in desk.said
