"""The Bot API's methods about a chat. Each checks what Telegram checks and words its errors as Telegram does."""

import uuid
from collections.abc import Callable
from pathlib import Path

from pydantic import JsonValue, ValidationError

from emulators.telegram.errors import BotApiError
from emulators.telegram.models import (
    CALLBACK_DATA_LIMIT_BYTES,
    CAPTION_LIMIT,
    MESSAGE_LIMIT,
    Chat,
    ChatEvent,
    Document,
    Entity,
    Keyboard,
    Message,
    User,
    utf16_length,
)
from emulators.telegram.params import (
    AnswerCallbackQuery,
    OneMessage,
    Parameters,
    ReplyParameters,
    SendDocument,
    SendMessage,
    SendMessageDraft,
    ToChat,
)
from emulators.telegram.store import Store
from emulators.telegram.updates import Bell

NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)


class ChatMethods:
    """Methods that put something into a chat or change it."""

    def __init__(self, bot: User, store: Store, bell: Bell, files: Path, clock: Callable[[], float]) -> None:
        self._bot = bot
        self._store = store
        self._bell = bell
        self._files = files
        self._clock = clock

    async def send_message(self, given: Parameters) -> JsonValue:
        """Send a text."""
        wanted = given.parse(SendMessage)
        chat = self._chat(wanted)
        return self._sent(
            Message(
                message_id=0,
                sender=self._bot,
                chat=chat,
                date=int(self._clock()),
                text=_checked_text(wanted.text),
                entities=_checked_entities(wanted.entities),
                reply_markup=_checked_keyboard(wanted.reply_markup),
                reply_to_message=self._answered(chat, wanted.reply_parameters),
            )
        )

    async def send_document(self, given: Parameters) -> JsonValue:
        """Send a file, uploaded or by the id of an earlier one."""
        wanted = given.parse(SendDocument)
        chat = self._chat(wanted)
        if utf16_length(wanted.caption) > CAPTION_LIMIT:
            raise BotApiError.bad_request("message caption is too long")
        return self._sent(
            Message(
                message_id=0,
                sender=self._bot,
                chat=chat,
                date=int(self._clock()),
                caption=wanted.caption or None,
                document=self._document(given, wanted.document),
                reply_markup=_checked_keyboard(wanted.reply_markup),
                reply_to_message=self._answered(chat, wanted.reply_parameters),
            )
        )

    async def send_message_draft(self, given: Parameters) -> JsonValue:
        """Show a text that is still being written."""
        wanted = given.parse(SendMessageDraft)
        chat = self._chat(wanted)
        if wanted.draft_id == 0:
            raise BotApiError.bad_request("draft_id must be non-zero")
        event = ChatEvent(
            kind="draft",
            message_id=wanted.draft_id,
            text=_checked_text(wanted.text),
            from_bot=True,
            date=int(self._clock()),
        )
        self._store.add_event(chat.id, event)
        self._bell.ring()
        return True

    async def send_chat_action(self, given: Parameters) -> JsonValue:
        """Accept a chat action; it leaves no trace."""
        self._chat(given.parse(ToChat))
        if not given.values.get("action"):
            raise BotApiError.bad_request("wrong parameter action in request")
        return True

    async def edit_message_text(self, given: Parameters) -> JsonValue:
        """Change a text of the bot, its buttons included: without reply_markup they go."""
        wanted = given.parse(OneMessage)
        text = _checked_text(wanted.text)
        message = self._own_message(wanted)
        if message.text is None:
            raise BotApiError.bad_request("there is no text in the message to edit")
        return self._edited(
            message,
            message.model_copy(
                update={
                    "text": text,
                    "entities": _checked_entities(wanted.entities),
                    "reply_markup": _checked_keyboard(wanted.reply_markup),
                }
            ),
        )

    async def edit_message_reply_markup(self, given: Parameters) -> JsonValue:
        """Change the buttons under a message of the bot."""
        wanted = given.parse(OneMessage)
        message = self._own_message(wanted)
        keyboard = _checked_keyboard(wanted.reply_markup)
        return self._edited(message, message.model_copy(update={"reply_markup": keyboard}))

    async def delete_message(self, given: Parameters) -> JsonValue:
        """Delete a message of either side."""
        wanted = given.parse(OneMessage)
        message = self._store.message(self._chat(wanted).id, wanted.message_id)
        if message is None:
            raise BotApiError.bad_request("message to delete not found")
        self._store.delete_message(message)
        self._bell.ring()
        return True

    async def answer_callback_query(self, given: Parameters) -> JsonValue:
        """Answer a pressed button."""
        wanted = given.parse(AnswerCallbackQuery)
        place = self._store.callback(wanted.callback_query_id)
        if place is None:
            raise BotApiError.bad_request(
                "query is too old and response timeout expired or query ID is invalid",
            )
        chat_id, message_id = place
        event = ChatEvent(
            kind="answered", message_id=message_id, text=wanted.text, from_bot=True, date=int(self._clock())
        )
        self._store.add_event(chat_id, event)
        self._bell.ring()
        return True

    async def get_chat(self, given: Parameters) -> JsonValue:
        """Describe a chat, with the fields clients insist on."""
        chat = self._chat(given.parse(ToChat), sending=False)
        gifts: JsonValue = dict.fromkeys(
            ["unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels"], False
        )
        return {**chat.wire(), "accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": gifts}

    def _chat(self, wanted: ToChat, *, sending: bool = True) -> Chat:
        if not wanted.chat_id:
            raise BotApiError.bad_request("chat_id is empty")
        user = self._store.user(int(wanted.chat_id)) if wanted.chat_id.lstrip("-").isdecimal() else None
        if user is None:
            raise BotApiError.bad_request("chat not found")
        if sending and self._store.blocks_bot(user.id):
            raise BotApiError(403, "Forbidden: bot was blocked by the user")
        return private_chat(user)

    def _answered(self, chat: Chat, reply: ReplyParameters | None) -> Message | None:
        if reply is None:
            return None
        message = self._store.message(chat.id, reply.message_id)
        if message is None and not reply.allow_sending_without_reply:
            raise BotApiError.bad_request("message to be replied not found")
        return message.model_copy(update={"reply_to_message": None}) if message else None

    def _own_message(self, wanted: OneMessage) -> Message:
        chat = self._chat(wanted)
        if not wanted.message_id:
            raise BotApiError.bad_request("message identifier is not specified")
        message = self._store.message(chat.id, wanted.message_id)
        if message is None:
            raise BotApiError.bad_request("message to edit not found")
        if not message.sender.is_bot:
            raise BotApiError.bad_request("message can't be edited")
        return message

    def _sent(self, message: Message) -> JsonValue:
        numbered, _ = self._store.add_message(message)
        self._bell.ring()
        return numbered.wire()

    def _edited(self, before: Message, after: Message) -> JsonValue:
        if (before.text, before.entities, before.reply_markup) == (after.text, after.entities, after.reply_markup):
            raise BotApiError.bad_request(NOT_MODIFIED)
        after = after.model_copy(update={"edit_date": int(self._clock())})
        self._store.edit_message(after)
        self._bell.ring()
        return after.wire()

    def _document(self, given: Parameters, reference: str | None) -> Document:
        upload = given.upload("document")
        if upload is None:
            known = self._store.setting(f"file {reference}") if reference else None
            if known is None:
                raise BotApiError.bad_request("there is no document in the request")
            return Document.model_validate_json(known)
        if not upload.content:
            raise BotApiError.bad_request("file must be non-empty")
        file_id = uuid.uuid4().hex
        self._files.mkdir(parents=True, exist_ok=True)
        (self._files / file_id).write_bytes(upload.content)
        document = Document(
            file_id=file_id,
            file_unique_id=file_id[:16],
            file_name=upload.name,
            mime_type=upload.mime_type,
            file_size=len(upload.content),
        )
        self._store.put_setting(f"file {file_id}", document.model_dump_json())
        return document


def private_chat(user: User) -> Chat:
    """Return the chat of a user with the bot."""
    return Chat(id=user.id, first_name=user.first_name, username=user.username)


def _checked_text(text: str) -> str:
    if not text.strip():
        raise BotApiError.bad_request("message text is empty")
    if utf16_length(text) > MESSAGE_LIMIT:
        raise BotApiError.bad_request("message is too long")
    return text


def _checked_entities(entities: list[Entity] | None) -> list[Entity] | None:
    if entities and any(entity.offset < 0 or entity.length < 0 for entity in entities):
        raise BotApiError.bad_request("entity offset and length must be non-negative")
    return entities or None


def _checked_keyboard(given: JsonValue) -> Keyboard | None:
    # Only inline keyboards become part of a message; the others change the client's keyboard.
    if not isinstance(given, dict) or "inline_keyboard" not in given:
        return None
    try:
        keyboard = Keyboard.model_validate(given)
    except ValidationError as error:
        raise BotApiError.bad_request("can't parse inline keyboard: buttons need a text") from error
    for button in (button for row in keyboard.inline_keyboard for button in row):
        if not button.text:
            raise BotApiError.bad_request("inline keyboard button text must be non-empty")
        if button.callback_data is not None and not (
            1 <= len(button.callback_data.encode()) <= CALLBACK_DATA_LIMIT_BYTES
        ):
            raise BotApiError.bad_request("BUTTON_DATA_INVALID")
    return keyboard if any(keyboard.inline_keyboard) else None
