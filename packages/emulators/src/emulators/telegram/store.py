"""Everything the emulator remembers, in one SQLite file; each public method is one transaction."""

import sqlite3
from pathlib import Path

from pydantic import JsonValue, TypeAdapter

from emulators.telegram.models import ChatEvent, EventKind, Message, User

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, body TEXT NOT NULL, blocks_bot INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS messages (
    chat_id INTEGER, message_id INTEGER, from_bot INTEGER, body TEXT NOT NULL, PRIMARY KEY (chat_id, message_id));
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS updates (
    update_id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    event INTEGER PRIMARY KEY AUTOINCREMENT, chat_id INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_of_chat ON events (chat_id, event);
CREATE TABLE IF NOT EXISTS callbacks (id TEXT PRIMARY KEY, chat_id INTEGER NOT NULL, message_id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, body TEXT NOT NULL);
"""

JsonObject = dict[str, JsonValue]
_OBJECT: TypeAdapter[JsonObject] = TypeAdapter(JsonObject)


class Store:
    """The SQLite file; None keeps everything in memory."""

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(path or ":memory:")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def put_user(self, user: User, *, blocks_bot: bool = False) -> None:
        """Add or replace a user."""
        with self._db:
            self._db.execute(
                "INSERT INTO users VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "body = excluded.body, blocks_bot = excluded.blocks_bot",
                (user.id, user.model_dump_json(), blocks_bot),
            )

    def user(self, user_id: int) -> User | None:
        """Return a user who ever was in a chat with the bot."""
        row = self._db.execute("SELECT body FROM users WHERE id = ?", (user_id,)).fetchone()
        return User.model_validate_json(row[0]) if row else None

    def blocks_bot(self, user_id: int) -> bool:
        """Tell whether the user blocked the bot."""
        row = self._db.execute("SELECT blocks_bot FROM users WHERE id = ?", (user_id,)).fetchone()
        return bool(row and row[0])

    def add_message(self, message: Message, *, update_kind: str | None = None) -> tuple[Message, int | None]:
        """Number and keep a message; with an update kind the bot is told, and the update's id returned too."""
        with self._db:
            numbered = message.model_copy(update={"message_id": self._next("message_id")})
            self._db.execute(
                "INSERT INTO messages VALUES (?, ?, ?, ?)",
                (message.chat.id, numbered.message_id, message.sender.is_bot, _text(numbered)),
            )
            self._add_event(message.chat.id, event_of(numbered, "sent"))
            if update_kind is None:
                return numbered, None
            return numbered, self._add_update(update_kind, numbered.wire())

    def message(self, chat_id: int, message_id: int) -> Message | None:
        """Return a message that was not deleted."""
        row = self._db.execute(
            "SELECT body FROM messages WHERE chat_id = ? AND message_id = ?", (chat_id, message_id)
        ).fetchone()
        return Message.model_validate_json(row[0]) if row else None

    def edit_message(self, message: Message) -> None:
        """Replace a message by its edited form."""
        with self._db:
            self._db.execute(
                "UPDATE messages SET body = ? WHERE chat_id = ? AND message_id = ?",
                (_text(message), message.chat.id, message.message_id),
            )
            self._add_event(message.chat.id, event_of(message, "edited"))

    def delete_message(self, message: Message) -> None:
        """Forget a message."""
        with self._db:
            self._db.execute(
                "DELETE FROM messages WHERE chat_id = ? AND message_id = ?", (message.chat.id, message.message_id)
            )
            event = event_of(message, "deleted").model_copy(update={"text": "", "reply_markup": None})
            self._add_event(message.chat.id, event)

    def add_event(self, chat_id: int, event: ChatEvent) -> None:
        """Append an event that is not about a kept message."""
        with self._db:
            self._add_event(chat_id, event)

    def events(self, chat_id: int, after: int) -> list[ChatEvent]:
        """Return the chat's events above a number, in order."""
        rows = self._db.execute(
            "SELECT event, body FROM events WHERE chat_id = ? AND event > ? ORDER BY event", (chat_id, after)
        )
        return [ChatEvent.model_validate_json(body).model_copy(update={"event": event}) for event, body in rows]

    def add_callback(self, callback_id: str, message: Message, body: JsonObject) -> int:
        """Keep a pressed button and tell the bot; returns the update's id."""
        with self._db:
            self._db.execute(
                "INSERT INTO callbacks VALUES (?, ?, ?)", (callback_id, message.chat.id, message.message_id)
            )
            return self._add_update("callback_query", body)

    def callback(self, callback_id: str) -> tuple[int, int] | None:
        """Return the chat and the message of a pressed button."""
        found = self._db.execute("SELECT chat_id, message_id FROM callbacks WHERE id = ?", (callback_id,)).fetchone()
        return (int(found[0]), int(found[1])) if found else None

    def confirm_updates(self, below: int) -> None:
        """Forget updates with a smaller id."""
        with self._db:
            self._db.execute("DELETE FROM updates WHERE update_id < ?", (below,))

    def confirm_all_but_last(self, kept: int) -> None:
        """Forget all but the newest updates, as a negative offset does."""
        with self._db:
            self._db.execute(
                "DELETE FROM updates WHERE update_id NOT IN "
                "(SELECT update_id FROM updates ORDER BY update_id DESC LIMIT ?)",
                (kept,),
            )

    def pending_updates(self, limit: int) -> list[tuple[int, str, JsonObject]]:
        """Return the oldest updates: id, kind, body."""
        rows = self._db.execute("SELECT update_id, kind, body FROM updates ORDER BY update_id LIMIT ?", (limit,))
        return [(update_id, kind, _OBJECT.validate_json(body)) for update_id, kind, body in rows]

    def pending_count(self) -> int:
        """Count updates that are not confirmed."""
        return int(self._db.execute("SELECT count(*) FROM updates").fetchone()[0])

    def put_setting(self, name: str, body: str | None) -> None:
        """Keep a named JSON text; None removes it."""
        with self._db:
            if body is None:
                self._db.execute("DELETE FROM settings WHERE name = ?", (name,))
            else:
                self._db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, body))

    def setting(self, name: str) -> str | None:
        """Return a named JSON text."""
        row = self._db.execute("SELECT body FROM settings WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def _next(self, counter: str) -> int:
        row = self._db.execute(
            "INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
            (counter,),
        ).fetchone()
        return int(row[0])

    def _add_update(self, kind: str, body: JsonObject) -> int:
        cursor = self._db.execute(
            "INSERT INTO updates (kind, body) VALUES (?, ?)", (kind, _OBJECT.dump_json(body).decode())
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _add_event(self, chat_id: int, event: ChatEvent) -> None:
        self._db.execute("INSERT INTO events (chat_id, body) VALUES (?, ?)", (chat_id, event.model_dump_json()))


def event_of(message: Message, kind: EventKind) -> ChatEvent:
    """Describe what happened to a message."""
    return ChatEvent(
        kind=kind,
        message_id=message.message_id,
        text=message.text or message.caption or "",
        from_bot=message.sender.is_bot,
        date=message.edit_date or message.date,
        reply_markup=message.reply_markup,
        document=message.document,
    )


def _text(message: Message) -> str:
    return message.model_dump_json(by_alias=True, exclude_none=True)
