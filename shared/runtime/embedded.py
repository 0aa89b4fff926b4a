"""What the embedded stores have in common: whom they run as, folders that user can reach, a child under test."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from shared.runtime.errors import Category, PlatformError

UNPRIVILEGED_USER = "nobody"
PRIVATE = 0o700
OTHERS_MAY_ENTER = 0o001


class EmbeddedStoreError(PlatformError):
    """An embedded store cannot run here."""

    code = "embedded_store"
    category = Category.FATAL


def unprivileged_user() -> tuple[int, int] | None:
    """Return (uid, gid) of the user a store runs as when this process is root; None when it is not."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        raise EmbeddedStoreError(f"started as root, but there is no user `{UNPRIVILEGED_USER}` to run as") from None
    return entry.pw_uid, entry.pw_gid


def require_reachable(path: Path, run_as: tuple[int, int] | None) -> None:
    """Raise EmbeddedStoreError naming the folder that the store's user may not pass through on the way to a path."""
    if run_as is None:
        return
    for parent in reversed(path.resolve().parents):
        if not parent.exists():
            return
        status = parent.stat()
        if status.st_mode & OTHERS_MAY_ENTER or status.st_uid == run_as[0]:
            continue
        raise EmbeddedStoreError(
            f"{path} cannot be reached: user `{UNPRIVILEGED_USER}` may not pass through {parent}; "
            f"run `chmod o+x {parent}` or choose a folder elsewhere"
        )


def make_private(folder: Path, run_as: tuple[int, int] | None) -> None:
    """Create a folder that only the store's user may enter."""
    require_reachable(folder, run_as)
    folder.mkdir(parents=True, exist_ok=True)
    require_reachable(folder, run_as)  # a strict umask closes the parents that were just made
    if run_as is not None:
        os.chown(folder, *run_as)
    folder.chmod(PRIVATE)


def write_private(path: Path, text: str, run_as: tuple[int, int] | None) -> None:
    """Write a file that only the store's user may read."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    if run_as is not None:
        os.chown(path, *run_as)
