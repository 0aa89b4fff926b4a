"""Where a registry answers, the base is pulled and nothing is made of packages by debootstrap.

The registry is Debian's package, on the loopback address, and holds our own base under the name images.sh asks for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from local_stack.testing.deployment import control, docker
from local_stack.testing.waiting import eventually
from shared.runtime.ports import free_port

ROOT = Path(__file__).parent.parent.parent
IMAGES = str(ROOT / "scripts" / "docker" / "images.sh")
START_SECONDS = 60
BUILD_SECONDS = 900
BASE = "debian:12.11-slim"
pytestmark = [
    pytest.mark.skipif(os.environ.get("COMPOSE_ALONE") != "test-registry", reason="`make test-registry` runs this"),
    pytest.mark.timeout(BUILD_SECONDS + 60),
]


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

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return {**os.environ, "IMAGE_REGISTRY": f"{self.address}/", "IMAGE_PREFIX": _prefix(), "PATH": path}

    def images(self, *names: str) -> str:
        """Run images.sh against the registry, under names nothing has yet, and return what it said."""
        command = [IMAGES, *names]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS
        )
        assert done.returncode == 0, done.stderr
        return done.stderr


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    """Serve our base, with a label so that it is not the image this engine has already."""
    address = f"127.0.0.1:{free_port()}"
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
        dockerfile.write_text(
            f"FROM {control(ROOT, ROOT / '.env', 'prefix.sh').strip()}/base:bookworm\nLABEL of={address}\n"
        )
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is let near debootstrap")
def test_a_base_that_no_registry_has_is_asked_of_debootstrap(registry: Registry) -> None:
    # Shows that the stand-in is what would be called, so that the other test does not pass for want of a chance.
    given = {**registry.environment, "BASE_IMAGE": "debian:missing", "IMAGE_PREFIX": f"{_prefix()}-missing"}
    done = subprocess.run([IMAGES, "base"], env=given, capture_output=True, text=True, check=False, timeout=240)
    assert "debootstrap failed" in done.stderr
    assert registry.was_bootstrapped


def test_every_image_is_built_on_the_base_that_was_pulled(registry: Registry) -> None:
    said = registry.images()
    print(said)
    assert "pulling the base" in said
    assert not registry.was_bootstrapped
    listed = docker("image", "ls", "--filter", f"reference={_prefix()}/*", "--format", "{{.Repository}}").split()
    built = {name for name in listed if name not in {f"{_prefix()}/base", f"{_prefix()}/agents"}}  # agents has no base
    assert len(built) >= 12
    for name in sorted(built):
        assert f"built {name} in" in said
        base = docker("image", "inspect", "--format", "{{.Config.Labels.of}}", name).strip()
        assert base == registry.address, name
        assert _layers(name)[:1] == _layers(f"{_prefix()}/base:bookworm")[:1], name
