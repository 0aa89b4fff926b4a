"""Errors of the bus.

BusError
├── BusUnavailable   no connection, no answer in time, not now   transient
├── BusFull          the server has no memory left               upstream
├── BusDenied        wrong password or no right to do this       permanent
├── BusRefused       the server rejected the command             permanent
├── BodyTooLarge     the message is too long for a stream        permanent
├── GroupMissing     the group vanished with the server's data   transient
└── NameTaken        another process reads under this name       transient

AlreadyHandled is for handlers to raise.
"""

from __future__ import annotations

import re

from redis import exceptions as redis_errors

from shared.runtime.errors import Category, PlatformError

# What Redis 7 answers to a reader that waited on a stream while it was deleted begins with UNBLOCKED.
_GROUP_IS_GONE = ("NOGROUP", "UNBLOCKED")
# A script that runs long, a disk that is full, a replica that has not become the master yet: they pass.
_NOT_NOW = ("BUSY ", "MISCONF", "READONLY", "TRYAGAIN", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS")

# Redis 6.2 wraps what a command inside a script was answered.
_IN_SCRIPT = re.compile(r"^(?:ERR )?Error running script \(call to \w+\): @user_script:\s*\d+: -?")


class BusError(PlatformError):
    """The message bus did not do what was asked."""

    code = "bus_error"
    category = Category.TRANSIENT


class BusUnavailable(BusError):
    """Redis does not answer."""

    code = "bus_unavailable"


class BusFull(BusError):
    """Redis has no memory left for new messages."""

    code = "bus_full"
    category = Category.UPSTREAM


class BusDenied(BusError):
    """Redis refused the credentials or the right to do this."""

    code = "bus_denied"
    category = Category.PERMANENT


class BusRefused(BusError):
    """Redis rejected the command."""

    code = "bus_refused"
    category = Category.PERMANENT


class BodyTooLarge(BusError):
    """The message is too long for a stream: say where the data is instead of sending it."""

    code = "bus_body_too_large"
    category = Category.PERMANENT


class GroupMissing(BusError):
    """The consumer group does not exist."""

    code = "group_missing"


class NameTaken(BusError):
    """Another process reads under the name of one of this process's consumers."""

    code = "consumer_name_taken"


class AlreadyHandled(PlatformError):
    """A handler found in its own transaction that the message's effect is there; the message is acknowledged."""

    code = "already_handled"


def translate(error: Exception) -> BusError:
    """Return the leaf that fits an error of redis-py or of the socket below it."""
    text = _IN_SCRIPT.sub("", str(error))
    if isinstance(error, redis_errors.AuthenticationError | redis_errors.NoPermissionError):
        return BusDenied(f"{BusDenied.__doc__} ({text})")
    if isinstance(error, redis_errors.ConnectionError | redis_errors.TimeoutError | OSError):
        return BusUnavailable(f"Redis does not answer: {text}")
    if isinstance(error, redis_errors.OutOfMemoryError) or text.startswith("OOM"):
        return BusFull(text)
    if text.startswith(_GROUP_IS_GONE):
        return GroupMissing(text)
    if text.startswith(_NOT_NOW) or isinstance(error, redis_errors.ReadOnlyError):
        return BusUnavailable(f"Redis cannot do this now: {text}")
    return BusRefused(text)
