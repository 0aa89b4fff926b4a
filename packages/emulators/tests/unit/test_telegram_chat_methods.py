"""The Bot API's methods check what Telegram checks, in Telegram's words."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from emulators.telegram.bot_methods import BotMethods, FloodLimit
from emulators.telegram.chat_methods import NOT_MODIFIED, ChatMethods
from emulators.telegram.errors import BotApiError, UserSideError
from emulators.telegram.models import User
from emulators.telegram.params import Parameters
from emulators.telegram.store import Store
from emulators.telegram.updates import Bell, UpdateQueue
from emulators.telegram.user_side import NewCallback, NewMessage, NewUser, UserSide

ALICE = 7
BUTTONS: JsonValue = {"inline_keyboard": [[{"text": "go", "callback_data": "go:1"}]]}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Telegram:
    methods: BotMethods
    users: UserSide
    store: Store
    clock: Clock

    async def call(self, method: str, **values: JsonValue) -> Any:
        return await self.methods.call(method, Parameters({"chat_id": str(ALICE), **values}))

    async def refusal(self, method: str, **values: JsonValue) -> tuple[int, str]:
        with pytest.raises(BotApiError) as caught:
            await self.call(method, **values)
        return caught.value.code, caught.value.description

    def kinds(self) -> list[tuple[str, str]]:
        return [(event.kind, event.text) for event in self.store.events(ALICE, 0)]


def make(flood_per_second: int = 0) -> Telegram:
    store, bell, clock = Store(None), Bell(), Clock()
    bot = User(id=1, is_bot=True, first_name="Bot", username="bot")
    chats = ChatMethods(bot, store, bell, Path("/nonexistent"), clock)
    methods = BotMethods(bot, store, UpdateQueue(store, bell), chats, FloodLimit(flood_per_second, clock))
    users = UserSide(store, bell, clock)
    users.add_user(NewUser(id=ALICE, first_name="Alice"))
    return Telegram(methods, users, store, clock)


@pytest.fixture
def telegram() -> Iterator[Telegram]:
    made = make()
    yield made
    made.store.close()


async def test_both_sides_share_one_count_of_message_ids(telegram: Telegram) -> None:
    first = telegram.users.write(NewMessage(user_id=ALICE, text="hi"))
    second = await telegram.call("sendMessage", text="hello")
    third = telegram.users.write(NewMessage(user_id=ALICE, text="more"))
    assert [first.message_id, second["message_id"], third.message_id] == [1, 2, 3]
    assert (second["from"]["is_bot"], second["chat"]["id"]) == (True, ALICE)


@pytest.mark.parametrize(
    ("values", "description"),
    [
        ({"text": ""}, "message text is empty"),
        ({"text": " \n"}, "message text is empty"),
        ({"text": "x" * 4097}, "message is too long"),
        ({"text": "😀" * 2049}, "message is too long"),
        ({"text": "x", "chat_id": "99"}, "chat not found"),
        ({"text": "x", "chat_id": "@channel"}, "chat not found"),
        ({"text": "x", "chat_id": ""}, "chat_id is empty"),
        (
            {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "b", "callback_data": "ж" * 33}]]}},
            "BUTTON_DATA_INVALID",
        ),
        ({"text": "x", "reply_parameters": {"message_id": 99}}, "message to be replied not found"),
    ],
)
async def test_a_message_telegram_would_refuse_is_refused(
    telegram: Telegram, values: dict[str, JsonValue], description: str
) -> None:
    assert await telegram.refusal("sendMessage", **values) == (400, f"Bad Request: {description}")
    assert telegram.kinds() == []


async def test_the_longest_message_and_button_data_pass(telegram: Telegram) -> None:
    assert await telegram.call("sendMessage", text="😀" * 2048)
    keyboard: JsonValue = {"inline_keyboard": [[{"text": "b", "callback_data": "ж" * 32}]]}
    assert await telegram.call("sendMessage", text="x", reply_markup=keyboard)


async def test_a_user_who_blocks_the_bot_gets_nothing(telegram: Telegram) -> None:
    telegram.users.add_user(NewUser(id=ALICE, blocks_bot=True))
    assert await telegram.refusal("sendMessage", text="x") == (403, "Forbidden: bot was blocked by the user")


async def test_an_edit_replaces_text_and_buttons(telegram: Telegram) -> None:
    sent = await telegram.call("sendMessage", text="one", reply_markup=BUTTONS)
    telegram.clock.now = 1005
    edited = await telegram.call("editMessageText", message_id=sent["message_id"], text="two")
    assert (edited["text"], edited["edit_date"], "reply_markup" in edited) == ("two", 1005, False)
    assert telegram.kinds() == [("sent", "one"), ("edited", "two")]


async def test_an_edit_that_changes_nothing_is_refused(telegram: Telegram) -> None:
    sent = await telegram.call("sendMessage", text="one", reply_markup=BUTTONS)
    same = {"message_id": sent["message_id"], "text": "one", "reply_markup": BUTTONS}
    assert await telegram.refusal("editMessageText", **same) == (400, f"Bad Request: {NOT_MODIFIED}")
    markup = {"message_id": sent["message_id"], "reply_markup": BUTTONS}
    assert await telegram.refusal("editMessageReplyMarkup", **markup) == (400, f"Bad Request: {NOT_MODIFIED}")


async def test_only_own_messages_that_exist_can_be_edited(telegram: Telegram) -> None:
    theirs = telegram.users.write(NewMessage(user_id=ALICE, text="hi"))
    assert await telegram.refusal("editMessageText", message_id=theirs.message_id, text="x") == (
        400,
        "Bad Request: message can't be edited",
    )
    assert await telegram.refusal("editMessageText", message_id=99, text="x") == (
        400,
        "Bad Request: message to edit not found",
    )
    assert await telegram.refusal("editMessageText", text="x") == (
        400,
        "Bad Request: message identifier is not specified",
    )


async def test_a_message_can_be_deleted_once_whoever_wrote_it(telegram: Telegram) -> None:
    theirs = telegram.users.write(NewMessage(user_id=ALICE, text="my password"))
    assert await telegram.call("deleteMessage", message_id=theirs.message_id) is True
    assert await telegram.refusal("deleteMessage", message_id=theirs.message_id) == (
        400,
        "Bad Request: message to delete not found",
    )
    assert telegram.kinds()[-1] == ("deleted", "")


async def test_a_draft_is_seen_but_is_no_message(telegram: Telegram) -> None:
    assert await telegram.call("sendMessageDraft", draft_id=5, text="writing") is True
    assert telegram.kinds() == [("draft", "writing")]
    assert (await telegram.call("sendMessage", text="x"))["message_id"] == 1
    assert (await telegram.refusal("sendMessageDraft", draft_id=0, text="x"))[0] == 400


async def test_a_pressed_button_can_be_answered_and_an_unknown_one_not(telegram: Telegram) -> None:
    sent = await telegram.call("sendMessage", text="x", reply_markup=BUTTONS)
    pressed = telegram.users.press(NewCallback(user_id=ALICE, message_id=sent["message_id"], data="go:1"))
    assert await telegram.call("answerCallbackQuery", callback_query_id=pressed.callback_query_id, text="ok")
    assert telegram.kinds()[-1] == ("answered", "ok")
    code, description = await telegram.refusal("answerCallbackQuery", callback_query_id="1")
    assert (code, description.startswith("Bad Request: query is too old")) == (400, True)


async def test_only_buttons_that_exist_can_be_pressed_unless_forged(telegram: Telegram) -> None:
    sent = await telegram.call("sendMessage", text="x", reply_markup=BUTTONS)
    press = NewCallback(user_id=ALICE, message_id=sent["message_id"], data="stop")
    with pytest.raises(UserSideError, match="data: no button"):
        telegram.users.press(press)
    telegram.users.press(press.model_copy(update={"forged": True}))
    stranger = NewCallback(user_id=8, chat_id=ALICE, message_id=sent["message_id"], data="go:1")
    telegram.users.press(stranger)
    [update] = [body for _, _, body in telegram.store.pending_updates(10)][-1:]
    assert json.loads(json.dumps(update))["from"]["id"] == 8


async def test_commands_in_a_text_are_marked_in_utf16_units(telegram: Telegram) -> None:
    telegram.users.write(NewMessage(user_id=ALICE, text="😀 /start and a/path /new@bot"))
    [(_, _, body)] = telegram.store.pending_updates(1)
    assert body["entities"] == [
        {"type": "bot_command", "offset": 3, "length": 6},
        {"type": "bot_command", "offset": 21, "length": 8},
    ]


async def test_too_many_messages_a_second_are_refused_with_the_time_to_wait() -> None:
    telegram = make(flood_per_second=2)
    for number in range(2):
        await telegram.call("sendMessage", text=str(number))
    with pytest.raises(BotApiError) as caught:
        await telegram.call("sendMessage", text="three")
    assert (caught.value.code, caught.value.retry_after) == (429, 1)
    telegram.clock.now += 1
    assert await telegram.call("sendMessage", text="three")
    telegram.store.close()


async def test_menus_are_kept_by_scope_and_checked(telegram: Telegram) -> None:
    commands: JsonValue = [{"command": "start", "description": "begin"}]
    assert await telegram.call("setMyCommands", commands=commands) is True
    assert await telegram.call("getMyCommands") == commands
    assert await telegram.call("getMyCommands", language_code="de") == []
    bad: JsonValue = [{"command": "Start!", "description": "begin"}]
    assert await telegram.refusal("setMyCommands", commands=bad) == (400, "Bad Request: BOT_COMMAND_INVALID")


async def test_methods_are_found_in_any_case_and_unknown_ones_are_not(telegram: Telegram) -> None:
    assert (await telegram.call("GETME"))["username"] == "bot"
    assert await telegram.refusal("sendSticker") == (404, "Not Found")


async def test_webhooks_need_https(telegram: Telegram) -> None:
    code, description = await telegram.refusal("setWebhook", url="http://example.com/hook")
    assert (code, description) == (400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
