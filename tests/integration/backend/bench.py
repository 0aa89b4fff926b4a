"""A network with a Redis on a real engine, and worker containers beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from docker.models.containers import Container
from redis import Redis

import docker

T = TypeVar("T")
DEADLINE_SECONDS = 30.0
RUN_LABEL = "codegen.test"
EXEC_TRIES = 3


def until(look: Callable[[], T | None], what: str, seconds: float = DEADLINE_SECONDS) -> T:
    """Return the first answer that is neither None nor false; AssertionError says what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s; last seen: {found!r}"
        time.sleep(0.05)


def run_in(container: Container, *command: str) -> tuple[int, str]:
    """Return exit code and output of a command in a container; one that a busy engine could not start starts again."""
    tries = 0
    while True:
        tries += 1
        code, output = container.exec_run(list(command))
        assert isinstance(output, bytes)
        if tries == EXEC_TRIES or not output.startswith(b"OCI runtime exec failed: "):
            return code or 0, output.decode(errors="replace").strip()


@dataclass(frozen=True)
class TestRun:
    """What this run's images are called, and the label of everything it starts."""

    __test__ = False

    images: str
    label: str

    def image(self, name: str) -> str:
        return f"{self.images}/{name}"


@dataclass(frozen=True)
class Bench:
    """A network of its own with a Redis in it, which the host reaches too."""

    client: docker.DockerClient
    run: TestRun
    network: str
    redis: Redis

    def worker(self, worker_id: str, environment: dict[str, str] | None = None, **options: Any) -> Container:
        """Start a container of the base image."""
        settings = {
            "WORKER_ID": worker_id,
            "REDIS_URL": "redis://redis:6379/0",
            "WORKER_TYPE": "developer",
            "AGENT_TYPE": "mock",
        }
        arguments: dict[str, Any] = {
            "image": self.run.image("worker-base"),
            "environment": settings | (environment or {}),
            "labels": {RUN_LABEL: self.run.label},
            "network": self.network,
            "detach": True,
        }
        container: Container = self.client.containers.run(**(arguments | options))
        return container

    def lifecycle(self, worker_id: str) -> list[str]:
        """Return what a worker told of itself."""
        entries: Any = self.redis.xrange("worker:lifecycle")
        found = [fields[b"data"] for _, fields in entries if worker_id.encode() in fields[b"data"]]
        return [kind for data in found for kind in ("started", "stopped") if f'"{kind}"'.encode() in data]
