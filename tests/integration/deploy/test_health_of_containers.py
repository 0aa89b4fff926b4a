"""What a container's health check hears and says; the engine keeps the words for who asks why."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server

import pytest

from shared.runtime.ports import free_port

pytestmark = pytest.mark.integration
HEALTHCHECK = Path(__file__).resolve().parent.parent.parent.parent / "docker" / "runtime" / "healthcheck"


class Probes(BaseHTTPRequestHandler):
    """A service that lives and is not ready."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 503)
        self.end_headers()
        self.wfile.write(b'{"database": "away",\n "redis": "ok"}')

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of requests."""


@pytest.fixture
def service() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Probes) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def check(port: int, *path: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(HEALTHCHECK), *path],
        env={"HTTP_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=30,
    )
    return done.returncode, done.stdout.strip()


def test_who_lives_is_healthy_without_a_word(service: int) -> None:
    assert check(service, "/livez") == (0, "")


def test_who_is_not_ready_says_why(service: int) -> None:
    assert check(service) == (1, '{"database": "away",\n "redis": "ok"}')


def test_nobody_there_is_said() -> None:
    status, said = check(free_port())
    assert status == 1
    assert "Connection refused" in said


def test_who_says_nothing_is_not_waited_for_long() -> None:
    with create_server(("127.0.0.1", 0)) as silent:
        assert check(silent.getsockname()[1]) == (1, "no answer within 4 s")
