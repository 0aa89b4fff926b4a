"""Errors of the Telegram emulator.

TelegramEmulatorError
├── BotApiError         an answer in the Bot API's error shape
├── UserSideError       a user action that no client could do
└── ControlCallError    a control endpoint refused a call of the client
"""


class TelegramEmulatorError(Exception):
    """Base of what this emulator raises."""


class BotApiError(TelegramEmulatorError):
    """An answer in the Bot API's error shape."""

    def __init__(self, code: int, description: str, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.retry_after = retry_after

    @classmethod
    def bad_request(cls, what: str) -> "BotApiError":
        """Return a 400 worded as the Bot API does."""
        return cls(400, f"Bad Request: {what}")

    @classmethod
    def conflict(cls, what: str) -> "BotApiError":
        """Return a 409 worded as the Bot API does."""
        return cls(409, f"Conflict: {what}")

    @classmethod
    def flood(cls, retry_after: int) -> "BotApiError":
        """Return a 429 that names the seconds to wait."""
        return cls(429, f"Too Many Requests: retry after {retry_after}", retry_after)


class UserSideError(TelegramEmulatorError):
    """No Telegram client could do this; the message says why."""


class ControlCallError(TelegramEmulatorError):
    """The emulator refused a control call; the message is its answer."""
