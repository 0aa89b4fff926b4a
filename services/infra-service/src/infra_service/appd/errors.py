"""What appd refuses, each with the HTTP status it answers.

AppdError
├── BadRequest 400 · Unauthorized 401 · UnknownApp 404 · TooLarge 413 · BadRelease 422
├── NotHealthy 502    the release does not come up; the previous one runs again
└── Busy 503          another deployment of the application takes too long
CannotStart           the daemon itself cannot run here
"""

from __future__ import annotations


class AppdError(Exception):
    """The root; the message is for people."""

    status = 500

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class BadRequest(AppdError):
    status = 400


class Unauthorized(AppdError):
    status = 401


class UnknownApp(AppdError):
    status = 404


class TooLarge(AppdError):
    status = 413


class BadRelease(AppdError):
    status = 422


class NotHealthy(AppdError):
    status = 502


class Busy(AppdError):
    status = 503


class CannotStart(Exception):
    """The daemon cannot run with this root; the message says why and what helps."""
