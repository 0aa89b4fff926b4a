"""Where a registry answers, the base is pulled and nothing is made of packages by debootstrap.

The registry is Debian's package, on the loopback address, and holds our own base under the name images.sh asks for.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from local_stack.testing.deployment import docker
from local_stack.testing.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 60
BASE = "debian:12.11-slim"
pytestmark = [
    pytest.mark.skipif(os.environ.get("COMPOSE_ALONE") != "test-registry", reason="`make test-registry` runs this"),
    pytest.mark.timeout(300),
]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)


async def _answers(ask: Callable[[], bool], what: str, log: Path) -> None:
    async def once() -> bool | None:
        return True if ask() else None

    await eventually(once, START_SECONDS, what, lambda: log.read_text()[-500:])


def _prefix() -> str:
    return os.environ["COMPOSE_COPY_PREFIX"]


def _layers(image: str) -> list[str]:
    found: list[str] = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))
    return found


@dataclass(frozen=True)
class Registry:
    """A registry that answers, and a folder whose debootstrap only says that it was called."""

    address: str
    folder: Path

    @property
    def was_bootstrapped(self) -> bool:
        return (self.folder / "bootstrapped").exists()

    def images(self, *names: str, **environment: str) -> str:
        """Run images.sh against the registry and return what it said."""
        given = {**os.environ, "IMAGE_REGISTRY": f"{self.address}/", **environment}
        given["PATH"] = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        command = [str(ROOT / "scripts" / "docker" / "images.sh"), *names]
        done = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr
        return done.stderr


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    """Serve our base, with a label so that it is not the image this engine has already."""
    address = f"127.0.0.1:{_free_port()}"
    (tmp_path / "registry.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/store}}}}\nhttp: {{addr: '{address}'}}\n"
    )
    stub = tmp_path / "bin" / "debootstrap"
    stub.parent.mkdir()
    stub.write_text(f"#!/bin/sh\ntouch {tmp_path}/bootstrapped\nexit 1\n")
    stub.chmod(0o755)
    log = tmp_path / "registry.log"
    with ExitStack() as undo:
        undo.enter_context(_process(["docker-registry", "serve", str(tmp_path / "registry.yml")], log))
        await _answers(lambda: _is_up(f"http://{address}/v2/"), "the registry's start", log)
        name = f"{address}/{BASE}"
        undo.callback(_forget, name)
        dockerfile = tmp_path / "base" / "Dockerfile"
        dockerfile.parent.mkdir()
        dockerfile.write_text(f"FROM codegen/base:bookworm\nLABEL of={address}\n")
        docker("build", "--quiet", "--tag", name, str(dockerfile.parent))
        docker("push", "--quiet", name)
        docker("rmi", name)
        yield Registry(address, tmp_path)


def _forget(name: str) -> None:
    if docker("image", "ls", "--quiet", name):
        docker("rmi", name)


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="a second engine needs root")
async def test_an_empty_engine_pulls_its_base(registry: Registry, tmp_path: Path) -> None:
    socket_file = tmp_path / "engine.sock"
    engine = [
        "dockerd",
        f"--host=unix://{socket_file}",
        f"--data-root={tmp_path}/engine",
        f"--exec-root={tmp_path}/exec",
    ]
    engine += [f"--pidfile={tmp_path}/engine.pid", "--bridge=none", "--iptables=false", "--ip-forward=false"]
    log = tmp_path / "engine.log"
    there = {"DOCKER_HOST": f"unix://{socket_file}"}
    with _process(engine, log):
        await _answers(lambda: _engine_answers(there), "the second engine's start", log)
        said = registry.images("base", **there)
        names = _names_on(there)
    assert "pulling the base" in said
    assert "codegen/base:bookworm" in names
    assert not registry.was_bootstrapped


def _names_on(environment: dict[str, str]) -> list[str]:
    command = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]
    listed = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return listed.stdout.split()


def _engine_answers(environment: dict[str, str]) -> bool:
    command = ["docker", "version"]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=False).returncode == 0


def test_images_are_built_on_the_base_that_was_pulled(registry: Registry) -> None:
    said = registry.images("redis", IMAGE_PREFIX=_prefix())
    assert f"built {_prefix()}/redis" in said
    assert not registry.was_bootstrapped
    base = docker("image", "inspect", "--format", "{{.Config.Labels.of}}", f"{_prefix()}/redis").strip()
    assert base == registry.address
    assert _layers(f"{_prefix()}/redis")[:1] == _layers(f"{_prefix()}/base:bookworm")[:1]
