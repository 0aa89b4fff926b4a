"""The real playbook by real Ansible, in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from pydantic import JsonValue, SecretStr

from infra_service.errors import PlayTimeout
from infra_service.plays import PLAYBOOKS, AnsiblePlays, Play, PlayOutcome
from infra_service.provisioning import Provisioner
from infra_service.settings import InfraSettings, ansible_environment
from infra_service.testing import TOKEN, Appd, fetch, release, wait_until
from shared.contracts.dto.infrastructure import ServerDTO
from shared.contracts.vocabulary import ServerStatus
from shared.infra import SystemClock
from shared.runtime.ports import free_port
from shared.testing.clock import FakeClock

TASK = "Daemon and its settings"
pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]


def _server() -> ServerDTO:
    now = FakeClock().now()
    return ServerDTO(
        handle="local",
        host="127.0.0.1",
        is_embedded=True,
        deploy_url=None,
        port_range_start=8100,
        port_range_end=8199,
        status=ServerStatus.PENDING_SETUP,
        last_error=None,
        created_at=now,
        updated_at=now,
    )


async def _prepare(folder: Path, port: int = 9999) -> PlayOutcome:
    settings = InfraSettings(deploy_token=SecretStr(TOKEN), server_dir=folder, server_port=port)
    plays = AnsiblePlays(ansible_environment(), 120)
    return await Provisioner(plays, settings, SystemClock()).provision(_server())


def _slow_python(folder: Path) -> Path:
    """Make an interpreter for modules that does not begin within any deadline of a test."""
    slow = folder / "python"
    slow.write_text(f'#!/bin/sh\nsleep 60\nexec {sys.executable} "$@"\n')
    slow.chmod(0o755)
    return slow


def _snapshot(*roots: Path) -> dict[str, int]:
    """Return when each file and folder below the roots was changed."""
    found: dict[str, int] = {}
    for root in roots:
        for folder, names, files in os.walk(root):
            for name in (".", *names, *files):
                path = os.path.normpath(os.path.join(folder, name))
                found[path] = os.lstat(path).st_mtime_ns
    return found


async def test_it_writes_into_the_server_folder_only_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, temporary, folder = tmp_path / "home", tmp_path / "tmp", tmp_path / "server"
    for path in (home, temporary):
        path.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("API_TOKEN", "not-for-ansible")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before = _snapshot(home, Path("/etc"), Path.home())
    first = await _prepare(folder)
    assert first.status == "successful", first.failures
    assert first.changed == [TASK]
    assert _snapshot(home, Path("/etc"), Path.home()) == before
    assert list(temporary.iterdir()) == [], "the private folder is deleted"
    assert {path.name for path in folder.iterdir()} == {"bin", "etc"}
    assert TOKEN not in (folder / "etc/appd.json").read_text()

    written = _snapshot(folder)
    second = await _prepare(folder)
    assert (second.status, second.changed) == ("successful", [])
    assert _snapshot(folder) == written


async def test_a_prepared_server_takes_a_release(open_folder: Path) -> None:
    port = free_port()
    outcome = await _prepare(open_folder, port)
    assert outcome.status == "successful", outcome.failures
    appd = Appd(open_folder, port)
    appd.start()
    try:
        application = free_port()
        status, answer = appd.deploy("d" * 40, release(), application)
        assert status == 200, answer
        assert fetch(application, "/count") == "1"
    finally:
        appd.end()
    again = await _prepare(open_folder, port)
    assert again.changed == [], "a server in use is left as it is"


async def test_a_failing_task_is_named_with_its_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    outcome = await _prepare(tmp_path / "file" / "server")
    assert outcome.status == "failed"
    assert outcome.failures[0].startswith(f"{TASK}: ")
    assert "file" in outcome.failures[0]


async def test_braces_in_a_variable_are_never_evaluated(tmp_path: Path) -> None:
    name = "{{ lookup('pipe', 'id') }}"
    outcome = await _prepare(tmp_path / name)
    assert outcome.status == "successful", outcome.failures
    assert (tmp_path / name / "etc/appd.json").is_file()


async def test_a_play_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    connection: dict[str, JsonValue] = {
        "ansible_connection": "local",
        "ansible_python_interpreter": str(_slow_python(tmp_path)),
    }
    variables: dict[str, JsonValue] = {"is_embedded": True, "server_dir": str(tmp_path / "server"), "appd_config": {}}
    with pytest.raises(PlayTimeout):
        await AnsiblePlays(ansible_environment(), 1).run(Play(connection, variables, ("embedded",)))


_KILLED = """
import asyncio, sys
from pathlib import Path
from infra_service.plays import AnsiblePlays, Play
from infra_service.settings import ansible_environment

connection = {"ansible_connection": "local", "ansible_python_interpreter": sys.argv[2]}
variables = {"is_embedded": True, "server_dir": sys.argv[1], "deploy_user": "deploy", "appd_config": {}}
asyncio.run(AnsiblePlays(ansible_environment(), 60).run(Play(connection, variables, ("embedded",))))
"""


def _playing(folder: Path) -> list[int]:
    """Return the processes of Ansible that work with a private folder below the given one."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            is_ours = entry.name.isdecimal() and f"{folder}/play-".encode() in (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if is_ours:
            found.append(int(entry.name))
    return found


def test_a_killed_service_takes_its_play_with_it(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "server"), str(_slow_python(tmp_path))]
    with subprocess.Popen(command, env=environment) as service:
        wait_until(lambda: bool(_playing(tmp_path)), 20)
        service.kill()
    wait_until(lambda: not _playing(tmp_path), 10)
    wait_until(lambda: not list(tmp_path.glob("play-*")))


def _tasks(*options: str) -> str:
    environment = {**ansible_environment(), "HOME": "/nonexistent", "ANSIBLE_LOCAL_TEMP": "/tmp"}
    command = ["ansible-playbook", "-i", "localhost,", "--list-tasks", str(PLAYBOOKS / "site.yml"), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_no_host_level_task_is_tagged_embedded() -> None:
    embedded, everything = _tasks("--tags", "embedded"), _tasks()
    assert [line.split("\t")[0].strip() for line in embedded.splitlines() if "TAGS: [embedded]" in line] == [TASK]
    for task in ("Base packages", "Docker", "Firewall", "Deploy user", "Authorized key", "No passwords over ssh"):
        assert task in everything
        assert task not in embedded
