"""Each worker's own user of Redis: limited to its streams and keys, gone with the worker. Raises BusError leaves."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.contracts.topology import (
    DEPLOY_QUEUE,
    DEVELOPER_OUTPUT,
    DLQ_SUFFIX,
    ENGINEERING_QUEUE,
    PO_OUTPUT,
    WORKER_LIFECYCLE,
)
from shared.contracts.vocabulary import WorkerType
from shared.redis.errors import translate
from worker_manager import keys
from worker_manager.records import WorkerRecord, input_stream_name

USER_PREFIX = "worker-"
# Selectors and read or write rights on keys came with this release.
FIRST_WITH_SELECTORS = 7
_COMMANDS_OF_QUEUES = {"engineering.start": ENGINEERING_QUEUE.name, "deploy.start": DEPLOY_QUEUE.name}
_READ = ("xreadgroup", "xack", "xautoclaim", "xpending")
_BASIC = ("ping", "hello", "auth", "client|setname")

Grants = list[tuple[str, str, tuple[str, ...]]]


def grants_of(record: WorkerRecord) -> Grants:
    """Return (right, key, commands) for everything a worker does with Redis: R, W or RW."""
    worker_id = record.worker_id
    inputs = input_stream_name(record.worker_type, worker_id, pooled=record.pooled)
    is_po = record.worker_type is WorkerType.PO
    outputs = PO_OUTPUT.at(worker_id).name if is_po else DEVELOPER_OUTPUT.name
    written = [outputs, WORKER_LIFECYCLE.name, inputs + DLQ_SUFFIX]
    written += [
        queue
        for command, queue in _COMMANDS_OF_QUEUES.items()
        if any(fnmatchcase(command, pattern) for pattern in record.allowed)
    ]
    found: Grants = [("RW", inputs, _READ)]
    found += [("W", stream, ("xadd",)) for stream in written]
    found.append(("RW", keys.status_key(worker_id), ("hset", "hdel")))
    found.append(("RW", keys.heartbeat_key(worker_id), ("set",)))
    if is_po:
        found.append(("RW", keys.session_key(worker_id), ("get", "set", "expire")))
    return found


def strict_rules(grants: Grants) -> list[str]:
    """Return ACL rules in which every key has its own commands."""
    return [f"({'%' + right}~{key} {_allow(commands)})" for right, key, commands in grants]


def simple_rules(grants: Grants) -> list[str]:
    """Return ACL rules for servers without selectors: the same keys, each with all of the commands."""
    commands = sorted({command for _, _, granted in grants for command in granted})
    return [*(f"~{key}" for _, key, _ in grants), *_allow(commands).split()]


def _allow(commands: Sequence[str]) -> str:
    return " ".join(f"+{command}" for command in commands)


class RedisUsers:
    """`url` is how workers reach Redis; passwords follow from `secret`, so that a lost user can be made again."""

    def __init__(self, redis: Redis, url: str, secret: str) -> None:
        self._redis: Any = redis
        self._url = url
        self._secret = secret.encode()

    async def grant(self, record: WorkerRecord) -> str:
        """Make a worker's user, or make it anew; return its address of Redis."""
        grants = grants_of(record)
        rules = strict_rules(grants) if await self._has_selectors() else simple_rules(grants)
        basic = [*_allow(_BASIC).split(), *(["+select"] if urlsplit(self._url).path.strip("/0") else [])]
        password = self._password(record.worker_id)
        await self._run(
            "ACL SETUSER",
            USER_PREFIX + record.worker_id,
            *("reset", "on", f">{password}", "resetkeys", "resetchannels", "-@all", *basic, *rules),
        )
        return self._address(record.worker_id, password)

    async def revoke(self, worker_id: str) -> None:
        """Delete a worker's user and cut off who is connected as it; a repeat changes nothing."""
        await self._run("ACL DELUSER", USER_PREFIX + worker_id)

    async def workers(self) -> list[str]:
        """Return the ids of all workers that have a user."""
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in await self._run("ACL USERS")]
        return sorted(name.removeprefix(USER_PREFIX) for name in names if name.startswith(USER_PREFIX))

    async def _has_selectors(self) -> bool:
        try:
            info = await self._redis.info("server")
        except (RedisError, OSError) as error:
            raise translate(error) from error
        return int(str(info["redis_version"]).split(".")[0]) >= FIRST_WITH_SELECTORS

    def _password(self, worker_id: str) -> str:
        return hmac.new(self._secret, f"redis-user:{worker_id}".encode(), hashlib.sha256).hexdigest()

    def _address(self, worker_id: str, password: str) -> str:
        parts = urlsplit(self._url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{quote(USER_PREFIX + worker_id)}:{password}@{host}"))

    async def _run(self, *command: str) -> list[bytes | str]:
        try:
            reply = await self._redis.execute_command(*command)
        except (RedisError, OSError) as error:
            raise translate(error) from error
        return list(reply) if isinstance(reply, list) else []
