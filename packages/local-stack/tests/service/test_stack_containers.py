"""The doctor's findings about the containers of a .env, with a stand-in for the engine's client."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.containers import container_findings
from local_stack.doctor import Finding

pytestmark = pytest.mark.service
CLIENT = """\
#!/bin/sh
case "$*" in
  "image ls"*/base*) echo codegen/base:bookworm ;;
  "image ls"*) printf 'codegen/api\\ncodegen/redis\\ncodegen-1a/api\\n' ;;
  info*) echo {folder} ;;
  "ps "*) cat {folder}/running ;;
esac
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an engine that has some images and runs nothing."""
    client = tmp_path / "bin" / "docker"
    client.parent.mkdir()
    client.write_text(CLIENT.format(folder=tmp_path))
    client.chmod(0o755)
    (tmp_path / "running").touch()
    monkeypatch.setenv("PATH", f"{client.parent}:/bin:/usr/bin")
    return tmp_path


@pytest.fixture
def taken() -> Iterator[int]:
    """A port somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def _findings(env: Path, **settings: object) -> dict[str, Finding]:
    if settings:
        env.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return {finding.name: finding for finding in container_findings(env)}


def test_without_settings_there_is_still_something_to_say_about_the_engine(engine: Path) -> None:
    found = _findings(engine / ".env")
    assert set(found) == {"base image", "images", "disk of the engine"}
    assert found["base image"].detail == "codegen/base:bookworm"
    assert found["images"].detail == "2 of codegen/, 1 of codegen-1a/"
    assert found["disk of the engine"].detail.endswith(str(engine))


def test_a_port_that_somebody_else_has_is_named(engine: Path, taken: int) -> None:
    stack = {"COMPOSE_PROJECT_NAME": "codegen", "BIND_ADDRESS": "127.0.0.1", "API_PORT": taken}
    ports = _findings(engine / ".env", **stack)["ports"]
    assert (ports.ok, ports.detail) == (False, f"taken: API_PORT: {taken}")
    assert ".env" in ports.fix


def test_a_port_of_the_stacks_own_containers_is_no_conflict(engine: Path, taken: int) -> None:
    (engine / "running").write_text("0123456789ab\n")
    stack = {"COMPOSE_PROJECT_NAME": "codegen", "BIND_ADDRESS": "127.0.0.1", "API_PORT": taken}
    assert _findings(engine / ".env", **stack)["ports"].ok


@pytest.mark.parametrize(
    ("host", "is_reached_by_others"),
    [("172.17.0.1", False), ("apps.example.org", True)],
)
def test_links_that_lead_to_this_host_alone_are_said_to(engine: Path, host: str, is_reached_by_others: bool) -> None:
    links = _findings(engine / ".env", SERVER_HOST=host)["links of applications"]
    assert host in links.detail
    assert ("SERVER_BIND=0.0.0.0" not in links.detail) is is_reached_by_others
