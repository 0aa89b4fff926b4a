"""A real appd on a free port, and small applications to send to it; for tests of this and other members."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra_service.archive import appd_program
from shared.runtime.ports import free_port

TOKEN = "a-deploy-token"  # noqa: S105 - opens nothing but servers made for a test
# Serves what `python -m uvicorn` would, without installing anything.
UVICORN = """
import os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from app.main import answer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = answer(self.path).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

print("serving", os.environ["APP_SHA"], flush=True)
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""
APP = """
import json, os, pathlib, subprocess

counter = pathlib.Path(os.environ["DATA_DIR"]) / "count"

def answer(path):
    if path == "/version":
        return json.dumps({"sha": os.environ["APP_SHA"]})
    if path == "/count":
        count = int(counter.read_text()) + 1 if counter.exists() else 1
        counter.write_text(str(count))
        return str(count)
    if path == "/env":
        return json.dumps(dict(os.environ))
    if path == "/uid":
        return str(os.getuid())
    if path == "/child":
        return str(subprocess.Popen(["sleep", "300"], start_new_session=True).pid)
    if path.startswith("/read?"):
        try:
            return "read " + pathlib.Path(path[6:]).read_text()
        except OSError as error:
            return type(error).__name__
    return '{"status": "ok"}'
"""
BROKEN_APP = "raise RuntimeError('this release is broken')\n"
Files = Mapping[str, str]


def release(app: str = APP, extra: Files | None = None) -> bytes:
    """Return a release as git archive would make it."""
    files = {
        "requirements.txt": "# nothing\n",
        "app/__init__.py": "",
        "app/main.py": app,
        "uvicorn/__init__.py": "",
        "uvicorn/__main__.py": UVICORN,
        **(extra or {}),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition; fails when the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


@dataclass
class Appd:
    """One server: its root, its daemon's process, its HTTP interface."""

    root: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def python(self) -> str:
        return shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") or sys.executable

    def configure(self, token: str = TOKEN) -> None:
        config = {"port": self.port, "token_sha256": hashlib.sha256(token.encode()).hexdigest(), "start_seconds": 5}
        (self.root / "etc").mkdir(exist_ok=True)
        (self.root / "bin").mkdir(exist_ok=True)
        (self.root / "etc/appd.json").write_text(json.dumps(config))
        (self.root / "bin/appd").write_bytes(appd_program())

    def start(self) -> None:
        command = [self.python, str(self.root / "bin/appd"), "--root", str(self.root)]
        with (self.root / "appd.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self.answers)

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.root / "appd.log").read_text()
        try:
            return self.request("GET", "/livez")[0] == 200
        except OSError:
            return False

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def request(
        self, method: str, path: str, body: bytes = b"", token: str = TOKEN, **headers: str
    ) -> tuple[int, dict[str, Any] | list[Any] | str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            given = {"Authorization": f"Bearer {token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
            connection.request(method, path, body=body or None, headers=given)
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = answer.headers["Content-Type"] == "application/json"
            return answer.status, json.loads(text) if is_json else text
        finally:
            connection.close()

    def deploy(
        self, sha: str, body: bytes, port: int, *, app: str = "birds", env: Files | None = None, token: str = TOKEN
    ) -> tuple[int, dict[str, Any]]:
        encoded = base64.b64encode(json.dumps(dict(env or {})).encode()).decode()
        path = f"/apps/{app}/releases/{sha}?port={port}"
        status, answer = self.request("PUT", path, body, token, X_App_Env=encoded)
        assert isinstance(answer, dict)
        return status, answer

    def apps(self) -> list[dict[str, Any]]:
        status, answer = self.request("GET", "/apps")
        assert status == 200
        assert isinstance(answer, list)
        return answer


def fetch(port: int, path: str) -> str:
    """Ask an application."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()
