"""The user's side of the chat: what a Telegram client may do, turned into updates for the bot."""

import re
import uuid
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

from emulators.telegram.chat_methods import private_chat
from emulators.telegram.errors import UserSideError
from emulators.telegram.models import MESSAGE_LIMIT, Entity, Message, User, utf16_length
from emulators.telegram.store import Store
from emulators.telegram.updates import Bell

COMMAND = re.compile(r"(?<!\S)/[A-Za-z0-9_]{1,32}(?:@\w+)?(?!\S)")


class ControlBody(BaseModel):
    """Base of what the control endpoints take."""

    model_config = ConfigDict(extra="forbid")


class NewUser(ControlBody):
    """A person who may write to the bot; blocks_bot makes the bot's messages fail with 403."""

    id: int = Field(gt=0)
    first_name: str = "Test"
    username: str | None = None
    blocks_bot: bool = False


class NewMessage(ControlBody):
    """A text the user writes."""

    user_id: int = Field(gt=0)
    text: str = Field(min_length=1)
    reply_to_message_id: int | None = None


class NewCallback(ControlBody):
    """A button the user presses.

    chat_id: whose chat the message is in, when a stranger presses. forged: the data need not be on a button, as a
    changed client can send anything.
    """

    user_id: int = Field(gt=0)
    message_id: int
    data: str
    chat_id: int | None = None
    forged: bool = False


class Written(BaseModel):
    """What became of a user's text."""

    update_id: int
    message_id: int


class Pressed(BaseModel):
    """What became of a pressed button."""

    update_id: int
    callback_query_id: str


class UserSide:
    """What users do."""

    def __init__(self, store: Store, bell: Bell, clock: Callable[[], float]) -> None:
        self._store = store
        self._bell = bell
        self._clock = clock

    def add_user(self, new: NewUser) -> User:
        """Add or change a user."""
        user = User(id=new.id, first_name=new.first_name, username=new.username)
        self._store.put_user(user, blocks_bot=new.blocks_bot)
        return user

    def write(self, new: NewMessage) -> Written:
        """Write to the bot; a user nobody added is made up. Raises UserSideError."""
        if utf16_length(new.text) > MESSAGE_LIMIT:
            raise UserSideError(f"text: a client sends at most {MESSAGE_LIMIT} UTF-16 units in one message")
        user = self._known(new.user_id)
        answered = self._store.message(user.id, new.reply_to_message_id) if new.reply_to_message_id else None
        if new.reply_to_message_id and answered is None:
            raise UserSideError(f"reply_to_message_id: there is no message {new.reply_to_message_id} in this chat")
        message = Message(
            message_id=0,
            sender=user,
            chat=private_chat(user),
            date=int(self._clock()),
            text=new.text,
            entities=_commands_in(new.text) or None,
            reply_to_message=answered.model_copy(update={"reply_to_message": None}) if answered else None,
        )
        numbered, update_id = self._store.add_message(message, update_kind="message")
        assert update_id is not None
        self._bell.ring()
        return Written(update_id=update_id, message_id=numbered.message_id)

    def press(self, new: NewCallback) -> Pressed:
        """Press a button under a message of the bot. Raises UserSideError."""
        message = self._store.message(new.chat_id or new.user_id, new.message_id)
        if message is None:
            raise UserSideError(f"message_id: there is no message {new.message_id} in this chat")
        offered = message.reply_markup is not None and message.reply_markup.offers(new.data)
        if not offered and not new.forged:
            raise UserSideError(f"data: no button of message {new.message_id} carries {new.data!r}")
        callback_id = str(uuid.uuid4().int >> 64)
        update_id = self._store.add_callback(
            callback_id,
            message,
            {
                "id": callback_id,
                "from": self._known(new.user_id).wire(),
                "message": message.wire(),
                "chat_instance": str(message.chat.id),
                "data": new.data,
            },
        )
        self._bell.ring()
        return Pressed(update_id=update_id, callback_query_id=callback_id)

    def _known(self, user_id: int) -> User:
        return self._store.user(user_id) or self.add_user(NewUser(id=user_id, first_name=f"User {user_id}"))


def _commands_in(text: str) -> list[Entity]:
    return [
        Entity(type="bot_command", offset=utf16_length(text[: found.start()]), length=utf16_length(found.group()))
        for found in COMMAND.finditer(text)
    ]
