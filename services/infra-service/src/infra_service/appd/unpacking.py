"""Unpacks a release: a tar.gz from outside, of which nothing may land outside its folder."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from infra_service.appd.errors import BadRelease

MAX_BYTES = 500 * 1024 * 1024
MAX_MEMBERS = 50_000


def unpack(archive: Path, target: Path) -> None:
    """Unpack into an existing empty folder; raises BadRelease for anything but files, folders and inner links."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            _unpack(tar, target)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadRelease(f"the archive cannot be unpacked: {error}") from error


def _unpack(tar: tarfile.TarFile, target: Path) -> None:
    total, links = 0, []
    for count, member in enumerate(tar, 1):
        total += member.size
        if count > MAX_MEMBERS or total > MAX_BYTES:
            raise BadRelease("the release is too large")
        path = _inside(member.name)
        if member.isdir():
            (target / path).mkdir(parents=True, exist_ok=True)
        elif member.isreg():
            _write(tar, member, target / path)
        elif member.issym():
            # Links come last: nothing is ever written through one.
            links.append((path, member.linkname))
        else:
            raise BadRelease(f"{member.name} is neither file, folder nor symbolic link")
    for path, link in links:
        _inside(os.path.normpath(path.parent / link), f"{path} points to {link}, which")
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).symlink_to(link)


def _inside(name: str, subject: str | None = None) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise BadRelease(f"{subject or name} lies outside the release")
    return path


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None
    mode = 0o755 if member.mode & 0o100 else 0o644
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(content, file)
