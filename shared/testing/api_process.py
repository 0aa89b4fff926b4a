"""The real api, and its relay, as child processes on a database that a test gives them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import jwt

from shared.runtime.ports import free_port
from shared.testing.logs import shown_on_failure, tail_of
from shared.testing.probes import wait_ready
from shared.testing.settings import inherited_environment

TEST_SECRET = "a-secret-for-tests-long-enough-for-every-algorithm-that-a-test-may-try"  # noqa: S105 - it guards nothing
START_SECONDS = 60.0
STOP_SECONDS = 15.0


def service_token(name: str, secret: str = TEST_SECRET, ttl_seconds: int = 3600) -> str:
    """Return a token of a service."""
    claims = {"sub": name, "kind": "service", "aud": "orchestrator", "exp": int(time.time()) + ttl_seconds}
    return jwt.encode(claims, secret, algorithm="HS256")


@dataclass(frozen=True)
class ApiServer:
    """Where an api of tests answers."""

    base_url: str

    def service_token(self, name: str = "test") -> str:
        """Return a token of a service."""
        return service_token(name)


class ServerProcess:
    """A module run as a child process with probes on a port of its own; its log is kept in a file if one is given."""

    def __init__(self, module: str, environment: Mapping[str, str], *, log_path: Path | None = None) -> None:
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._module = module
        self._environment = {
            **inherited_environment(),
            **environment,
            "HTTP_PORT": str(self.port),
        }
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process id; 0 while it does not run."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start the process and return when it is ready."""
        self._process = self._spawn()
        await self._wait_ready()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with open(self._log_path or os.devnull, "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", self._module],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def log(self) -> str:
        """Return the end of its log; empty when none is kept."""
        return tail_of(self._log_path) if self._log_path is not None else ""

    async def stop(self) -> int:
        """Ask the process to end; return its exit code."""
        return await self._end(signal.SIGTERM)

    async def kill(self) -> int:
        """End the process without a word."""
        return await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            return await asyncio.to_thread(process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return await asyncio.to_thread(process.wait)

    async def _wait_ready(self) -> None:
        await wait_ready(self.base_url, START_SECONDS, self._check_alive)

    def _check_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            code = self._process.returncode if self._process is not None else None
            raise AssertionError(f"{self._module} ended with {code} while starting")


@asynccontextmanager
async def running(process: ServerProcess, name: str) -> AsyncIterator[None]:
    """Run a process for the length of the block; its last words are shown with failures."""
    with shown_on_failure(name, process.log):
        try:
            await process.start()
            yield
        finally:
            await process.stop()


class ApiProcess(ServerProcess):
    """The api; `service_token(name)` is what a service would call it with."""

    def __init__(
        self, database_url: str, *, log_path: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        environment = {"DATABASE_URL": database_url, "API_JWT_SECRET": TEST_SECRET, **(environment or {})}
        super().__init__("orchestrator_api", environment, log_path=log_path)
        self.database_url = database_url
        self.server = ApiServer(self.base_url)

    def service_token(self, name: str = "test") -> str:
        """Return a token of a service."""
        return self.server.service_token(name)


async def migrate(database_url: str) -> None:
    """Bring a database to the newest revision, as a deployment does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orchestrator_api.migrate",
        env={**inherited_environment(), "DATABASE_URL": database_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        raise AssertionError(f"the migration failed: {said.decode(errors='replace')[-2000:]}")


@asynccontextmanager
async def running_api(
    database_url: str,
    *,
    is_migrated: bool = False,
    log_path: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[ApiProcess]:
    """Run the api on a database, migrating it first unless it `is_migrated`; more environment may be given."""
    if not is_migrated:
        await migrate(database_url)
    with TemporaryDirectory(prefix="api-log-") as folder:
        process = ApiProcess(database_url, log_path=log_path or Path(folder) / "api.log", environment=environment)
        async with running(process, "api"):
            yield process


@asynccontextmanager
async def running_relay(
    database_url: str, redis_url: str, *, log_path: Path | None = None
) -> AsyncIterator[ServerProcess]:
    """Run the outbox relay between a migrated database and a Redis."""
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    with TemporaryDirectory(prefix="relay-log-") as folder:
        path = log_path or Path(folder) / "relay.log"
        process = ServerProcess("orchestrator_api.relay", environment, log_path=path)
        async with running(process, "relay"):
            yield process
