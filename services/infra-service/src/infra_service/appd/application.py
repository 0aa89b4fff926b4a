"""One application: its record, its process, and the change from one release to the next."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from infra_service.appd.errors import Busy, NotHealthy, UnknownApp
from infra_service.appd.health import Expected, answers
from infra_service.appd.processes import MARK, Launch, bound, sweep, tail
from infra_service.appd.releases import Owner, Releases
from infra_service.appd.settings import Config, Layout, application_environment
from infra_service.appd.supervisor import Supervisor

LOG_LIMIT_BYTES = 2 * 1024 * 1024
TAIL_LINES = 40
_POLL_SECONDS = 0.05
_WAIT_FOR_TURN_SECONDS = 300.0


@dataclass(frozen=True)
class Record:
    """The last release that was seen healthy; kept in apps/{app}/app.json, which only this process can read."""

    sha: str
    port: int
    environment: Mapping[str, str]
    uid: int | None


class Application:
    """Deploys, restarts and stops; one of these at a time."""

    def __init__(self, name: str, layout: Layout, config: Config, uid: int | None) -> None:
        self.name = name
        self.uid = uid
        self.record: Record | None = None
        self._folder = layout.app(name)
        self._log = layout.log(name)
        self._config = config
        self._mark = f"{layout.root}/{name}"
        self._owner = Owner(self._mark, uid)
        self._releases = Releases(layout.releases(name), self._folder, self._owner, config.build_seconds)
        self._turn = threading.Lock()
        self._supervisor: Supervisor | None = None
        self._is_closed = False
        self._folder.mkdir(exist_ok=True)
        self._folder.chmod(0o711)
        self._data = self._owner.private_folder(self._folder / "data")
        self._temporary = self._owner.private_folder(self._folder / "tmp")

    def describe(self) -> dict[str, object]:
        """Return what GET /apps shows."""
        record, supervisor = self.record, self._supervisor
        return {
            "app": self.name,
            "sha": record.sha if record else None,
            "port": record.port if record else None,
            "pid": supervisor.pid if supervisor else None,
            "restarts": supervisor.restarts if supervisor else 0,
            "url": f"http://{self._config.host}:{record.port}/" if record else None,
        }

    def load(self) -> None:
        """Take over the record on disk and start what it names."""
        values = json.loads((self._folder / "app.json").read_text(encoding="utf-8"))
        self.record = Record(**values)
        sweep(self._mark)
        self._start(self.record)

    def deploy(self, record: Record, archive: Path) -> dict[str, object]:
        """Replace the running release; one that does not come up is replaced by the previous one (NotHealthy)."""
        self._take_turn()
        try:
            if self.record == record and self._is_healthy(record):
                return self.describe()
            self._releases.install(record.sha, archive)
            self._stop()
            self._start(record)
            self._await_health(record)
            self._keep(record)
            self._releases.prune(record.sha)
            return self.describe()
        except NotHealthy:
            self._stop()
            if self.record is not None:
                self._start(self.record)
            raise
        finally:
            self._turn.release()

    def restart(self) -> dict[str, object]:
        """Stop and start the current release; raises UnknownApp, NotHealthy."""
        self._take_turn()
        try:
            if self.record is None:
                raise UnknownApp(f"{self.name} has no release")
            self._stop()
            self._start(self.record)
            self._await_health(self.record)
            return self.describe()
        finally:
            self._turn.release()

    def close(self) -> None:
        """Stop for good, whatever is under way; nothing of the application is left."""
        self._is_closed = True
        self._stop()
        sweep(self._mark)

    def tail(self, lines: int) -> str:
        return tail(self._log, lines)

    def bound_log(self) -> None:
        bound(self._log, LOG_LIMIT_BYTES)

    def _take_turn(self) -> None:
        if not self._turn.acquire(timeout=_WAIT_FOR_TURN_SECONDS):
            raise Busy(f"another deployment of {self.name} is under way")

    def _start(self, record: Record) -> None:
        if self._is_closed:
            return
        tree = self._releases.tree(record.sha)
        environment = {
            **application_environment(),
            "HOME": str(self._data),
            "TMPDIR": str(self._temporary),
            **record.environment,
            "PORT": str(record.port),
            "HOST": self._config.host,
            "DATA_DIR": str(self._data),
            "APP_SHA": record.sha,
            MARK: self._mark,
        }
        server = ["-m", "uvicorn", "app.main:app", "--host", self._config.host, "--port", str(record.port)]
        launch = Launch([str(tree / ".venv/bin/python"), *server], tree, environment, self.uid, self._log)
        self._supervisor = Supervisor(launch)
        self._supervisor.start()

    def _stop(self) -> None:
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.stop()
            sweep(self._mark)

    def _is_healthy(self, record: Record) -> bool:
        return answers(Expected(self._config.host, record.port, record.sha))

    def _await_health(self, record: Record) -> None:
        deadline = time.monotonic() + self._config.start_seconds
        while not self._is_healthy(record):
            supervisor = self._supervisor
            if supervisor is None or supervisor.restarts:
                raise NotHealthy(f"{self.name} at {record.sha} ended while it started", self.tail(TAIL_LINES))
            if time.monotonic() > deadline:
                text = f"{self.name} at {record.sha} did not answer /health and /version as it should"
                raise NotHealthy(f"{text} within {self._config.start_seconds:.0f} s", self.tail(TAIL_LINES))
            time.sleep(_POLL_SECONDS)

    def _keep(self, record: Record) -> None:
        """Write the record, then point `current` at its release; each of the two changes at once or not at all."""
        fresh = self._folder / "app.json.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(record), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._folder / "app.json")
        link = self._folder / "current.new"
        link.unlink(missing_ok=True)
        link.symlink_to(self._releases.tree(record.sha))
        link.replace(self._folder / "current")
        self.record = record
