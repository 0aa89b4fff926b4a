"""The Redis every contender uses, with nothing saved to disk."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.runtime.embedded_redis import find_binary
from shared.runtime.ports import free_port
from tests.benchmarks.environments import ROOT, CannotRun
from tests.benchmarks.peers.contender import GROUP, STREAM

DEADLINE_SECONDS = 10.0
STOP_SECONDS = 10.0


class Server:
    """A running server and a connection to look after it."""

    def __init__(self, port: int) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self._redis: Any = Redis(port=port)  # the library leaves its generic command untyped

    @property
    def version(self) -> str:
        return str(self._redis.info("server")["redis_version"])

    @property
    def used_bytes(self) -> int:
        return int(self._redis.info("memory")["used_memory"])

    def clear(self) -> None:
        """Remove everything and make the group that contenders on streams read with."""
        self._redis.flushall()
        self._redis.execute_command("XGROUP CREATE", STREAM, GROUP, "0", "MKSTREAM")

    def length(self) -> int:
        return int(self._redis.execute_command("XLEN", STREAM))

    def wait(self) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                self._redis.ping()
                return
            except RedisConnectionError as error:
                if time.monotonic() > deadline:
                    raise CannotRun(f"Redis does not answer: {error}") from error
                time.sleep(0.02)

    def close(self) -> None:
        self._redis.close()


@contextmanager
def running_server() -> Iterator[Server]:
    """Run a server on a free port while the block runs."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="redis-bench-") as folder:
        command = [str(binary()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        process = subprocess.Popen([*command, "--dir", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server = Server(port)
        try:
            server.wait()
            yield server
        finally:
            server.close()
            process.terminate()
            process.wait(STOP_SECONDS)


def binary() -> Path:
    """Return the newest server there is: the system's, the fetched 7.0, else the wheel's."""
    candidates = (Path("/usr/bin/redis-server"), ROOT / ".codegen" / "redis-7.0" / "redis-server")
    return next((path for path in candidates if path.exists()), None) or find_binary()
