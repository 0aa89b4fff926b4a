"""The Telegram objects this emulator knows, as they look on the wire, and the events of a chat."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

EventKind = Literal["sent", "edited", "deleted", "draft", "answered"]

MESSAGE_LIMIT = 4096
CAPTION_LIMIT = 1024
CALLBACK_DATA_LIMIT_BYTES = 64


class WireModel(BaseModel):
    """Base of wire objects; unknown fields are kept."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    def wire(self) -> dict[str, JsonValue]:
        """Return the object as JSON sends it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class User(WireModel):
    """A person or the bot."""

    id: int
    is_bot: bool = False
    first_name: str
    username: str | None = None


class Chat(WireModel):
    """A private chat; its id is the user's."""

    id: int
    type: str = "private"
    first_name: str | None = None
    username: str | None = None


class Entity(WireModel):
    """A marked part of a text, in UTF-16 units."""

    type: str
    offset: int
    length: int


class Button(WireModel):
    """A button under a message."""

    text: str
    callback_data: str | None = None


class Keyboard(WireModel):
    """Buttons under a message."""

    inline_keyboard: list[list[Button]]

    def offers(self, data: str) -> bool:
        """Tell whether a button carries this data."""
        return any(button.callback_data == data for row in self.inline_keyboard for button in row)


class Document(WireModel):
    """A sent file."""

    file_id: str
    file_unique_id: str
    file_name: str
    mime_type: str
    file_size: int


class Message(WireModel):
    """A message of either side."""

    message_id: int
    sender: User = Field(alias="from")
    chat: Chat
    date: int
    edit_date: int | None = None
    text: str | None = None
    entities: list[Entity] | None = None
    caption: str | None = None
    document: Document | None = None
    reply_markup: Keyboard | None = None
    reply_to_message: "Message | None" = None


class ChatEvent(BaseModel):
    """One thing the user sees happen in a chat, in order; for a draft message_id is the draft's id."""

    event: int = 0
    kind: EventKind
    message_id: int
    text: str
    from_bot: bool
    date: int
    reply_markup: Keyboard | None = None
    document: Document | None = None


class Webhook(BaseModel):
    """Where updates are pushed."""

    url: str
    secret_token: str | None = None
    last_error_date: int | None = None
    last_error_message: str | None = None


def utf16_length(text: str) -> int:
    """Return the length as Telegram counts it."""
    return len(text.encode("utf-16-le")) // 2
