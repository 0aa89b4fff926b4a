"""Errors of the command line, each with its exit code.

CliError            1  something the command line knows how to name
├── UsageFault      2  the command cannot mean what it says
├── RowMissing      3  there is no such row, or it belongs to somebody else
├── NotAllowed      4  this worker or token has no permission
├── InTheWay        5  the state of things does not allow it
├── Unreachable     6  api or Redis do not answer: try again
└── TookTooLong     7  a wait ended before what it waited for
"""

from __future__ import annotations

from typing import ClassVar

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
JsonObject = dict[str, JsonValue]


class CliError(Exception):
    """The command failed."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, details: JsonObject | None = None) -> None:
        super().__init__(message)
        self.details = details or {}


class UsageFault(CliError):
    """The command cannot mean what it says."""

    code = "usage"
    exit_code = 2


class RowMissing(CliError):
    """There is no such row, or it belongs to somebody else."""

    code = "not_found"
    exit_code = 3


class NotAllowed(CliError):
    """This worker or token has no permission."""

    code = "permission_denied"
    exit_code = 4


class InTheWay(CliError):
    """The state of things does not allow it."""

    code = "conflict"
    exit_code = 5


class Unreachable(CliError):
    """Api or Redis do not answer; trying again is safe."""

    code = "unavailable"
    exit_code = 6


class TookTooLong(CliError):
    """A wait ended before what it waited for."""

    code = "timeout"
    exit_code = 7


EXIT_CODES: dict[int, str] = {
    0: "ok",
    1: "unexpected failure",
    2: "usage: the message names the field and the rule",
    3: "not found",
    4: "permission denied",
    5: "conflict with the present state",
    6: "unavailable: try again, a retry is safe",
    7: "timeout of a wait",
}
