"""Names each precondition that fails, with its fix."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from local_stack.credentials import Credentials
from local_stack.errors import Precondition
from local_stack.layout import Layout
from local_stack.settings import StackSettings

FREE_DISK_GB = 3
OTHERS_MAY_TRAVERSE = 0o001


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    ok: bool
    detail: str
    fix: str = ""


def blocked_parent(path: Path) -> Path | None:
    """Return the directory on the way to a path that other users may not enter, if there is one."""
    for parent in [path, *path.parents]:
        if parent.exists() and not parent.stat().st_mode & OTHERS_MAY_TRAVERSE:
            return parent
    return None


def _tools() -> Iterator[Finding]:
    for tool, package in (("git", "git"), ("make", "make"), ("bash", "bash"), ("setpriv", "util-linux")):
        found = shutil.which(tool)
        yield Finding(tool, found is not None, found or "not found", f"apt-get install {package}")


def _home(layout: Layout) -> Iterator[Finding]:
    parent = layout.home if layout.home.exists() else layout.home.parent
    writable = os.access(parent if parent.exists() else parent.parent, os.W_OK)
    yield Finding("home is writable", writable, str(layout.home), "choose another directory with CODEGEN_HOME")
    if os.geteuid() == 0:
        blocked = blocked_parent(layout.home)
        yield Finding(
            "other users can reach the home",
            blocked is None,
            str(blocked or layout.home),
            "PostgreSQL and the workers run as other users: move the checkout, or set CODEGEN_HOME to a directory"
            " like /var/lib/codegen",
        )
    free = shutil.disk_usage(parent if parent.exists() else parent.parent).free / 1e9
    yield Finding("disk", free > FREE_DISK_GB, f"{free:.1f} GB free", f"free at least {FREE_DISK_GB} GB")


def _loopback(_: Layout) -> Iterator[Finding]:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 0))
        except OSError as error:
            yield Finding("loopback", False, str(error), "allow listening on 127.0.0.1")
            return
    yield Finding("loopback", True, "127.0.0.1")


def _accounts(settings: StackSettings) -> Iterator[Finding]:
    if settings.is_github_real:
        key = settings.github_app_private_key_file
        fine = key is not None and key.is_file() and bool(settings.github_owner)
        yield Finding("GitHub App", fine, str(key), "set GITHUB_APP_PRIVATE_KEY_FILE and GITHUB_OWNER")
    if settings.is_telegram_real:
        fine = bool(settings.telegram_allowed_users.strip())
        yield Finding("Telegram users", fine, settings.telegram_allowed_users, "set TELEGRAM_ALLOWED_USERS to your id")
    if settings.is_llm_real:
        yield Finding(
            "sandbox for a real model",
            settings.unsandboxed,
            "agents run as processes of this machine",
            "run in a machine made for it and pass --unsandboxed (UNSANDBOXED=true)",
        )


def _credentials(layout: Layout) -> Iterator[Finding]:
    if not (layout.keys / "credentials.json").exists():
        return
    try:
        Credentials.load_or_create(layout.keys)
    except Precondition as error:
        yield Finding("credentials", False, error.what, error.fix)
    else:
        yield Finding("credentials", True, str(layout.keys))


def examine(settings: StackSettings, layout: Layout) -> list[Finding]:
    """Return every precondition of a stack, good ones included."""
    groups: list[Callable[[], Iterator[Finding]]] = [
        _tools,
        lambda: _home(layout),
        lambda: _loopback(layout),
        lambda: _accounts(settings),
        lambda: _credentials(layout),
    ]
    return [finding for group in groups for finding in group()]


def require(settings: StackSettings, layout: Layout) -> None:
    """Raise Precondition for the first thing that would make a start fail."""
    for finding in examine(settings, layout):
        if not finding.ok:
            raise Precondition(f"{finding.name}: {finding.detail}", finding.fix)
