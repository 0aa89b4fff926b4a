"""Errors of the Messages API emulator.

AnthropicEmulatorError
├── ScriptError        a script that cannot be used, with the rule and the field
├── CassetteError      a folder of cassettes that cannot be used
└── ApiError           an answer in the API's own error shape
"""

from collections.abc import Mapping


class AnthropicEmulatorError(Exception):
    """Base of what this emulator raises."""


class ScriptError(AnthropicEmulatorError):
    """A script cannot be used; the message names the file, the rule and the field."""


class CassetteError(AnthropicEmulatorError):
    """A cassette cannot be read; the message names the file."""


class ApiError(AnthropicEmulatorError):
    """An answer in the API's error shape."""

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.headers = dict(headers or {})

    @classmethod
    def invalid_request(cls, message: str) -> "ApiError":
        """Return the 400 the API gives to a request it cannot use."""
        return cls(400, "invalid_request_error", message)
