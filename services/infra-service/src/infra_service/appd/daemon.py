"""All applications of one server: known ones are started, new ones get a user of their own."""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from infra_service.appd.application import Application, Record
from infra_service.appd.errors import AppdError, BadRequest, CannotStart, UnknownApp
from infra_service.appd.processes import sweep
from infra_service.appd.settings import Config, Layout, check_separation
from infra_service.appd.supervisor import GRACE_SECONDS

HOUSEKEEPING_SECONDS = 5.0
UIDS_PER_SERVER = 1000
UID_BLOCKS = 10_000
APP_NAME = re.compile(r"[a-z][a-z0-9-]{0,61}[a-z0-9]\Z")
SHA = re.compile(r"[0-9a-f]{7,64}\Z")
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Daemon:
    """Owns the root: a second daemon on the same root does not start."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.config = Config.load(self.layout.config)
        self._apps: dict[str, Application] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._held: IO[str] | None = None

    def open(self) -> None:
        """Take the root, end what an earlier daemon left behind, start every known application."""
        check_separation(self.layout.root)
        self.layout.prepare()
        self._held = (self.layout.root / "run" / "appd.lock").open("w")
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotStart(f"another appd runs on {self.layout.root}") from error
        sweep(f"{self.layout.root}/")
        for path in sorted((self.layout.root / "apps").glob("*/app.json")):
            name = path.parent.name
            app = Application(name, self.layout, self.config, json.loads(path.read_text())["uid"])
            self._apps[name] = app
            app.load()
        threading.Thread(target=self._housekeeping, daemon=True).start()

    def close(self) -> None:
        """Stop all applications at the same time and let go of the root."""
        self._closing.set()
        with self._lock:
            stopping = [threading.Thread(target=app.close) for app in self._apps.values()]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join(GRACE_SECONDS * 2)
        sweep(f"{self.layout.root}/")
        if self._held is not None:
            self._held.close()

    def apps(self) -> list[dict[str, object]]:
        with self._lock:
            known = list(self._apps.values())
        return [app.describe() for app in known if app.record is not None]

    def app(self, name: str) -> Application:
        """Return a known application; raises UnknownApp."""
        with self._lock:
            found = self._apps.get(name)
        if found is None:
            raise UnknownApp(f"there is no application {name}")
        return found

    def deploy(
        self, name: str, sha: str, port: int, environment: Mapping[str, str], archive: Path
    ) -> dict[str, object]:
        """Deploy a release; raises leaves of AppdError."""
        if not APP_NAME.match(name) or not SHA.match(sha):
            raise BadRequest("the application's name or the commit's sha is not written as it should be")
        if not 1024 <= port <= 65535 or port == self.config.port:
            raise BadRequest(f"port {port} cannot be used")
        if not all(VARIABLE_NAME.match(key) and "\0" not in value for key, value in environment.items()):
            raise BadRequest("a variable has no proper name")
        app = self._known_or_new(name)
        self._refuse_taken(port, app)
        return app.deploy(Record(sha, port, dict(environment), app.uid), archive)

    def incoming(self) -> tempfile._TemporaryFileWrapper[bytes]:
        """Return a file for an upload; it is gone when it is closed."""
        return tempfile.NamedTemporaryFile(dir=self.layout.root / "run", prefix="upload-")

    def _known_or_new(self, name: str) -> Application:
        with self._lock:
            if self._closing.is_set():
                raise AppdError("the daemon is stopping")
            if name not in self._apps:
                self._apps[name] = Application(name, self.layout, self.config, self._new_uid())
            return self._apps[name]

    def _refuse_taken(self, port: int, app: Application) -> None:
        with self._lock:
            for other in self._apps.values():
                if other is not app and other.record is not None and other.record.port == port:
                    raise BadRequest(f"port {port} belongs to {other.name}")

    def _new_uid(self) -> int | None:
        """Return the next user id; folders of applications that never came up keep theirs as well."""
        if os.geteuid() != 0:
            return None
        owners = {path.stat().st_uid for path in (self.layout.root / "apps").glob("*/data")}
        used = owners | {app.uid for app in self._apps.values() if app.uid is not None}
        # Two servers on one machine keep apart: each begins in a block of ids that its path names.
        block = zlib.crc32(str(self.layout.root).encode()) % UID_BLOCKS
        return max([self.config.uid_start + block * UIDS_PER_SERVER - 1, *used]) + 1

    def _housekeeping(self) -> None:
        while not self._closing.wait(HOUSEKEEPING_SECONDS):
            with self._lock:
                known = list(self._apps.values())
            for app in known:
                app.bound_log()
