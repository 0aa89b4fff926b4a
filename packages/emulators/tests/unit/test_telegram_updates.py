"""getUpdates waits, confirms and tells rivals apart."""

import asyncio
from collections.abc import Iterator

import pytest

from emulators.telegram.errors import BotApiError
from emulators.telegram.models import Webhook
from emulators.telegram.store import Store
from emulators.telegram.updates import Bell, UpdateQueue
from emulators.telegram.user_side import NewMessage, UserSide


class Chat:
    def __init__(self) -> None:
        self.store = Store(None)
        self.bell = Bell()
        self.queue = UpdateQueue(self.store, self.bell)
        self.users = UserSide(self.store, self.bell, lambda: 1000.0)

    def write(self, *texts: str) -> list[int]:
        return [self.users.write(NewMessage(user_id=7, text=text)).update_id for text in texts]

    async def ids(self, offset: int = 0, limit: int = 100) -> list[object]:
        return [update["update_id"] for update in await self.queue.poll(offset, limit, 0)]


@pytest.fixture
def chat() -> Iterator[Chat]:
    made = Chat()
    yield made
    made.store.close()


async def test_updates_stay_until_a_higher_offset_confirms_them(chat: Chat) -> None:
    first, second, third = chat.write("a", "b", "c")
    assert await chat.ids() == [first, second, third]
    assert await chat.ids(limit=2) == [first, second]
    assert await chat.ids(second) == [second, third]
    assert await chat.ids() == [second, third]
    assert await chat.ids(third + 1) == []


async def test_update_ids_are_never_used_again(chat: Chat) -> None:
    [first] = chat.write("a")
    assert await chat.ids(first + 1) == []
    assert chat.write("b") == [first + 1]


async def test_a_negative_offset_keeps_the_newest(chat: Chat) -> None:
    *_, last = chat.write("a", "b", "c")
    assert await chat.ids(-1) == [last]
    assert await chat.ids() == [last]


async def test_a_long_poll_ends_with_the_first_update(chat: Chat) -> None:
    waiting = asyncio.create_task(chat.queue.poll(0, 100, 30))
    await asyncio.sleep(0)
    [update_id] = chat.write("a")
    async with asyncio.timeout(0.5):
        [update] = await waiting
    assert update["update_id"] == update_id


async def test_the_older_of_two_pollers_gets_a_conflict(chat: Chat) -> None:
    older = asyncio.create_task(chat.queue.poll(0, 100, 30))
    await asyncio.sleep(0)
    newer = asyncio.create_task(chat.queue.poll(0, 100, 30))
    with pytest.raises(BotApiError, match="terminated by other getUpdates request") as caught:
        await older
    assert caught.value.code == 409
    chat.write("a")
    assert len(await newer) == 1


async def test_a_webhook_excludes_polling(chat: Chat) -> None:
    chat.queue.set_webhook(Webhook(url="https://example.com/hook"))
    with pytest.raises(BotApiError, match="while webhook is active"):
        await chat.ids()
    chat.queue.set_webhook(Webhook(url=""))
    assert await chat.ids() == []


async def test_unwanted_kinds_are_dropped_and_the_wish_is_kept(chat: Chat) -> None:
    chat.queue.allow(["callback_query"])
    chat.write("a", "b")
    assert await chat.ids() == []
    chat.queue.allow(None)
    assert await chat.ids() == []
    assert chat.store.pending_count() == 0
    chat.queue.allow([])
    kept = chat.write("c")
    assert await chat.ids() == kept
