"""The agent binary comes from its package only when its digest is the pinned one."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from local_stack.agents import ensure_claude
from local_stack.errors import Precondition
from shared.runtime.npm import NpmPackage, npm_command

pytestmark = pytest.mark.service


def _tarball(folder: Path, member: str = "package/claude") -> Path:
    binary = folder / "payload"
    binary.write_text("#!/bin/sh\necho an agent\n")
    path = folder / "agent.tgz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(binary, member)
    return path


def _pinned(tarball: Path, member: str = "package/claude") -> dict[str, NpmPackage]:
    digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    return {platform.machine(): NpmPackage("an-agent", "1.2.3", digest, member)}


def _npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a fake npm first on the PATH."""
    tools = folder / "tools"
    tools.mkdir()
    npm = tools / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    folder = tmp_path / "agents"
    folder.mkdir()
    return folder


async def test_a_package_with_the_pinned_digest_is_unpacked_once(
    tmp_path: Path, agents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tarball = _tarball(tmp_path)
    _npm(tmp_path, monkeypatch, f'echo "$@" >> {tmp_path}/calls; cp {tarball} .')
    binary = await ensure_claude(agents, _pinned(tarball))
    assert await asyncio.to_thread(subprocess.check_output, [binary]) == b"an agent\n"
    assert await ensure_claude(agents, _pinned(tarball)) == binary
    assert (tmp_path / "calls").read_text() == "pack --silent an-agent@1.2.3\n"
    assert sorted(path.name for path in agents.iterdir()) == ["claude", binary.name]
    assert (agents / "claude").resolve() == binary


async def test_the_binary_is_found_when_the_path_by_which_it_was_fetched_is_gone(
    tmp_path: Path, agents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tarball = _tarball(tmp_path)
    _npm(tmp_path, monkeypatch, f"cp {tarball} .")
    passing = tmp_path / "passing"
    passing.symlink_to(agents)
    await ensure_claude(passing, _pinned(tarball))
    passing.unlink()
    assert await asyncio.to_thread(subprocess.check_output, [agents / "claude"]) == b"an agent\n"


async def test_two_who_need_it_at_once_both_get_it(
    tmp_path: Path, agents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tarball = _tarball(tmp_path)
    _npm(tmp_path, monkeypatch, f"cp {tarball} .")
    first, second = await asyncio.gather(*(ensure_claude(agents, _pinned(tarball)) for _ in range(2)))
    assert first == second
    assert sorted(path.name for path in agents.iterdir()) == ["claude", first.name]


async def test_a_package_with_another_digest_is_refused_and_leaves_nothing(
    tmp_path: Path, agents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tarball = _tarball(tmp_path)
    pinned = _pinned(tarball)
    _npm(tmp_path, monkeypatch, f"cp {tarball} . && echo more >> agent.tgz")
    with pytest.raises(Precondition, match=r"an-agent@1\.2\.3 does not have the pinned digest"):
        await ensure_claude(agents, pinned)
    assert list(agents.iterdir()) == []


async def test_an_npm_that_fails_is_quoted(tmp_path: Path, agents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _npm(tmp_path, monkeypatch, "echo 'npm error network is away' >&2; exit 1")
    with pytest.raises(Precondition, match="npm error network is away") as refused:
        await ensure_claude(agents, _pinned(_tarball(tmp_path)))
    assert "CLAUDE_BINARY" in refused.value.fix


async def test_a_package_without_the_binary_is_named(
    tmp_path: Path, agents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tarball = _tarball(tmp_path, "package/other")
    _npm(tmp_path, monkeypatch, f"cp {tarball} .")
    with pytest.raises(Precondition, match="an-agent holds no package/claude"):
        await ensure_claude(agents, _pinned(tarball))
    assert [path.name for path in agents.iterdir()] == []


async def test_a_machine_without_a_pinned_package_is_told_what_to_set(agents: Path) -> None:
    with pytest.raises(Precondition, match="no pinned Claude Code package") as refused:
        await ensure_claude(agents, {})
    assert "CLAUDE_BINARY" in refused.value.fix


def test_the_npm_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _npm(tmp_path, monkeypatch, "exit 0")
    assert npm_command() == [shutil.which("npm")]


def test_without_an_npm_the_one_in_the_wheel_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    command = npm_command()
    assert command[0] == sys.executable
    answer = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, timeout=50)
    assert answer.stdout.strip().replace(".", "").isdigit()
