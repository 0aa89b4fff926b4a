"""What a container's health check hears and says; the engine keeps the words for who asks why."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server

import pytest

from shared.runtime.ports import free_port

pytestmark = pytest.mark.integration
DOCKER = Path(__file__).resolve().parent.parent.parent.parent / "docker"
HEALTHCHECK, PACED = DOCKER / "runtime" / "healthcheck", DOCKER / "health" / "paced"


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
        assert check(silent.getsockname()[1]) == (124, "no answer within 4 s")


@dataclass(frozen=True, slots=True)
class Paced:
    """The check as the engine starts it, around a probe that notes each look and ends as told."""

    folder: Path

    def will_end_with(self, status: int) -> None:
        probe = self.folder / "probe"
        probe.write_text(f'#!/bin/sh\necho look >>"{self.folder}/looks"\necho "ends with {status}"\nexit {status}\n')
        probe.chmod(0o755)

    def run(self, pause_seconds: float = 0.01) -> tuple[int, str]:
        ready, pause = str(self.folder / "ready"), str(pause_seconds)
        done = subprocess.run(
            [str(PACED), str(self.folder / "probe")],
            env={"PATH": os.defpath, "READY_FILE": ready, "PAUSE_SECONDS": pause},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=30,
        )
        return done.returncode, done.stdout.strip()

    @property
    def looks(self) -> int:
        notes = self.folder / "looks"
        return len(notes.read_text().splitlines()) if notes.exists() else 0


@pytest.fixture
def paced(tmp_path: Path) -> Paced:
    made = Paced(tmp_path)
    made.will_end_with(0)
    return made


def test_a_container_that_became_ready_is_told_of_at_once(paced: Paced) -> None:
    assert paced.run(pause_seconds=60) == (0, "")
    assert paced.looks == 1


def test_one_check_looks_at_a_ready_container_several_times(paced: Paced) -> None:
    paced.run()
    assert paced.run() == (0, "")
    assert paced.looks == 1 + 6 + 1


def test_a_ready_container_that_fails_ends_its_check(paced: Paced) -> None:
    paced.run()
    paced.will_end_with(3)
    assert paced.run() == (1, "ends with 3")
    assert paced.looks == 1 + 1 + 20
    paced.will_end_with(0)
    assert paced.run(pause_seconds=60) == (0, "")


def test_who_is_waited_for_in_vain_is_not_asked_as_often(paced: Paced) -> None:
    paced.will_end_with(124)
    assert paced.run() == (1, "ends with 124")
    assert paced.looks == 4
