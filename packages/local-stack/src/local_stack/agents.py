"""The pinned agent binaries, fetched from their npm platform packages."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from local_stack.errors import Precondition
from shared.runtime.npm import NoSuchMember, NpmPackage, NpmUnavailable, WrongDigest, fetch_member

CLAUDE_VERSION = "2.1.197"
CLAUDE: dict[str, NpmPackage] = {
    "x86_64": NpmPackage(
        "@anthropic-ai/claude-code-linux-x64",
        CLAUDE_VERSION,
        "rIlKmrY0QMyHgPRX/MYWNj039vbypICvI9jVe3rs9Xy2RnNklySjyPxqh62QadznzoftEO23uYQ1tFePcQ//bg==",
        "package/claude",
    ),
    "aarch64": NpmPackage(
        "@anthropic-ai/claude-code-linux-arm64",
        CLAUDE_VERSION,
        "sx6SoGj3MNR5CV+YDkNtbLHXa1tn3G8qcYFgm1gnvOi9ODQUKbhiPfankJfkTMDVekOvnKJhm6i9hGFIPzp7cQ==",
        "package/claude",
    ),
}


async def ensure_claude(agents: Path, packages: Mapping[str, NpmPackage] = CLAUDE) -> Path:
    """Return the path of the pinned Claude Code binary, fetching it when it is not there yet."""
    package = packages.get(platform.machine())
    if package is None or sys.platform != "linux":
        raise Precondition(
            f"there is no pinned Claude Code package for {sys.platform} on {platform.machine()}",
            "set CLAUDE_BINARY to the path of a Claude Code binary",
        )
    binary = agents / f"claude-{package.version}"
    if not binary.exists():
        await _fetch(package, agents, binary)
    # By its name alone: the folder may be reached by a path that goes away before it does.
    point(agents / "claude", Path(binary.name))
    return binary


def point(link: Path, target: Path) -> None:
    """Let a symbolic link name a file, replacing what it named before at once; stacks may do so side by side."""
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)


async def _fetch(package: NpmPackage, agents: Path, binary: Path) -> None:
    with tempfile.TemporaryDirectory(dir=agents) as scratch:
        unpacked = Path(scratch) / "binary"
        try:
            await fetch_member(package, Path(scratch), unpacked)
        except NpmUnavailable as error:
            fix = "check that npm can reach its registry, or set CLAUDE_BINARY to a Claude Code binary"
            raise Precondition(str(error), fix) from error
        except WrongDigest as error:
            fix = "do not use it: the registry served something else than what was pinned"
            raise Precondition(str(error), fix) from error
        except NoSuchMember as error:
            raise Precondition(str(error), "pin another version") from error
        unpacked.chmod(0o755)
        unpacked.replace(binary)
