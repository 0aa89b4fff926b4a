"""The root of every error tree: a stable code and a category that decides acknowledge, retry or dead letter."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Category(StrEnum):
    """What a consumer does with a message whose handler raised.

    transient: 3 tries (1, 2, 4 s). upstream: 5 tries (5, 10, 20, 60 s, honouring retry_after_seconds).
    permanent: dead letter at once. fatal: the process ends and the supervisor restarts it.
    """

    TRANSIENT = "transient"
    UPSTREAM = "upstream"
    PERMANENT = "permanent"
    FATAL = "fatal"


class PlatformError(Exception):
    """Something the platform knows how to name."""

    code: ClassVar[str] = "platform_error"
    category: ClassVar[Category] = Category.TRANSIENT

    def __init__(self, message: str | None = None, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().rstrip("."))
        self.retry_after_seconds = retry_after_seconds
