"""The Bot API's methods about the bot itself, and the table of all methods."""

import re
from collections import deque
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from pydantic import JsonValue, TypeAdapter

from emulators.telegram.chat_methods import ChatMethods
from emulators.telegram.errors import BotApiError
from emulators.telegram.models import Document, User, Webhook
from emulators.telegram.params import BotCommand, GetFile, GetUpdates, MyCommands, Parameters, SetWebhook
from emulators.telegram.store import Store
from emulators.telegram.updates import UpdateQueue

COMMAND_NAME = re.compile(r"[a-z0-9_]{1,32}")
LOOPBACK = {"127.0.0.1", "::1", "localhost"}

Method = Callable[[Parameters], Awaitable[JsonValue]]
_COMMANDS = TypeAdapter(list[BotCommand])


class FloodLimit:
    """Allows so many sends a second; 0 allows all."""

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sent: deque[float] = deque()

    def take(self) -> None:
        """Count one send; raises BotApiError 429."""
        if not self._per_second:
            return
        now = self._clock()
        while self._sent and self._sent[0] <= now - 1:
            self._sent.popleft()
        if len(self._sent) >= self._per_second:
            raise BotApiError.flood(1)
        self._sent.append(now)


class BotMethods:
    """Methods about the bot itself, and the table of all methods."""

    def __init__(self, bot: User, store: Store, queue: UpdateQueue, chats: ChatMethods, flood: FloodLimit) -> None:
        self._bot = bot
        self._store = store
        self._queue = queue
        self._flood = flood
        sending: dict[str, Method] = {
            "sendMessage": chats.send_message,
            "sendDocument": chats.send_document,
            "sendMessageDraft": chats.send_message_draft,
            "editMessageText": chats.edit_message_text,
            "editMessageReplyMarkup": chats.edit_message_reply_markup,
        }
        other: dict[str, Method] = {
            "getMe": self.get_me,
            "getUpdates": self.get_updates,
            "setWebhook": self.set_webhook,
            "deleteWebhook": self.delete_webhook,
            "getWebhookInfo": self.get_webhook_info,
            "setMyCommands": self.set_my_commands,
            "getMyCommands": self.get_my_commands,
            "deleteMyCommands": self.delete_my_commands,
            "getFile": self.get_file,
            "logOut": self.leave,
            "close": self.leave,
            "deleteMessage": chats.delete_message,
            "answerCallbackQuery": chats.answer_callback_query,
            "sendChatAction": chats.send_chat_action,
            "getChat": chats.get_chat,
        }
        limited = {name: self._limited(method) for name, method in sending.items()}
        self._table = {name.lower(): method for name, method in (other | limited).items()}

    async def call(self, name: str, given: Parameters) -> JsonValue:
        """Call a method by name, whatever its case. Raises BotApiError."""
        method = self._table.get(name.lower())
        if method is None:
            raise BotApiError(404, "Not Found")
        return await method(given)

    async def get_me(self, given: Parameters) -> JsonValue:
        """Describe the bot."""
        return {
            **self._bot.wire(),
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }

    async def get_updates(self, given: Parameters) -> JsonValue:
        """Wait for updates."""
        wanted = given.parse(GetUpdates)
        self._queue.allow(wanted.allowed_updates)
        limit = wanted.limit if 1 <= wanted.limit <= 100 else 100
        return list(await self._queue.poll(wanted.offset, limit, wanted.timeout))

    async def set_webhook(self, given: Parameters) -> JsonValue:
        """Push updates to a URL from now on; http is taken on loopback only, for tests."""
        wanted = given.parse(SetWebhook)
        parts = urlsplit(wanted.url)
        if wanted.url and parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise BotApiError.bad_request("bad webhook: An HTTPS URL must be provided for webhook")
        self._queue.allow(wanted.allowed_updates)
        self._drop_pending(wanted)
        self._queue.set_webhook(Webhook(url=wanted.url, secret_token=wanted.secret_token))
        return True

    async def delete_webhook(self, given: Parameters) -> JsonValue:
        """Go back to getUpdates."""
        self._drop_pending(given.parse(SetWebhook))
        self._queue.set_webhook(Webhook(url=""))
        return True

    async def get_webhook_info(self, given: Parameters) -> JsonValue:
        """Describe the webhook and what waits for it."""
        webhook = self._queue.webhook()
        return {
            **webhook.model_dump(mode="json", exclude_none=True, exclude={"secret_token"}),
            "has_custom_certificate": False,
            "pending_update_count": self._store.pending_count(),
        }

    def _drop_pending(self, wanted: SetWebhook) -> None:
        if wanted.drop_pending_updates:
            self._store.confirm_all_but_last(0)

    async def set_my_commands(self, given: Parameters) -> JsonValue:
        """Keep the bot's menu."""
        wanted = given.parse(MyCommands)
        for command in wanted.commands:
            if not COMMAND_NAME.fullmatch(command.command):
                raise BotApiError.bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(command.description) <= 256:
                raise BotApiError.bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        self._store.put_setting(wanted.place(), _COMMANDS.dump_json(wanted.commands).decode())
        return True

    async def get_my_commands(self, given: Parameters) -> JsonValue:
        """Return the bot's menu."""
        kept = self._store.setting(given.parse(MyCommands).place())
        return [command.model_dump() for command in _COMMANDS.validate_json(kept)] if kept else []

    async def delete_my_commands(self, given: Parameters) -> JsonValue:
        """Remove the bot's menu."""
        self._store.put_setting(given.parse(MyCommands).place(), None)
        return True

    async def get_file(self, given: Parameters) -> JsonValue:
        """Tell where a file can be fetched."""
        file_id = given.parse(GetFile).file_id
        kept = self._store.setting(f"file {file_id}")
        if kept is None:
            raise BotApiError.bad_request("invalid file_id")
        known = Document.model_validate_json(kept)
        return {
            "file_id": file_id,
            "file_unique_id": known.file_unique_id,
            "file_size": known.file_size,
            "file_path": f"documents/{file_id}",
        }

    async def leave(self, given: Parameters) -> JsonValue:
        """Accept logOut and close: there is no other server to move to."""
        return True

    def _limited(self, method: Method) -> Method:
        async def counted(given: Parameters) -> JsonValue:
            self._flood.take()
            return await method(given)

        return counted
