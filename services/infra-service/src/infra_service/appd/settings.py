"""Where everything lies below the root, what etc/appd.json says, and which of its environment children may see."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from infra_service.appd.errors import CannotStart

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "http_proxy", "https_proxy", "no_proxy")
_BUILD_PREFIXES = ("UV_", "PIP_")


@dataclass(frozen=True)
class Layout:
    """The folders of one server."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "etc" / "appd.json"

    @property
    def program(self) -> Path:
        return self.root / "bin" / "appd"

    def made_of(self) -> tuple[tuple[int, int], ...] | None:
        """Return which files program and configuration are; nothing while one is missing."""
        try:
            found = [path.stat() for path in (self.program, self.config)]
        except FileNotFoundError:
            return None
        return tuple((file.st_ino, file.st_mtime_ns) for file in found)

    def app(self, name: str) -> Path:
        return self.root / "apps" / name

    def releases(self, name: str) -> Path:
        return self.root / "releases" / name

    def log(self, name: str) -> Path:
        return self.root / "log" / f"{name}.log"

    def prepare(self) -> None:
        """Make the folders; others may pass through, not look."""
        for name in ("apps", "releases", "log", "run"):
            path = self.root / name
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o711)


@dataclass(frozen=True)
class Config:
    """etc/appd.json, as the playbook writes it."""

    port: int
    token_sha256: str
    host: str = "127.0.0.1"
    uid_start: int = 300_000_000
    start_seconds: float = 60.0
    build_seconds: float = 300.0

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read the file; raises CannotStart when it is absent or not understood."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})
        except (OSError, ValueError, TypeError) as error:
            raise CannotStart(f"{path} cannot be read: {error}") from error


def application_environment() -> dict[str, str]:
    """Return what an application inherits: a plain PATH and certificates, nothing else of this process."""
    passed = {name: os.environ[name] for name in _CERTIFICATES if name in os.environ}
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **passed}


def build_environment() -> dict[str, str]:
    """Return what building an environment needs besides: this process's PATH and the package clients' settings."""
    clients = {name: value for name, value in os.environ.items() if name.startswith(_BUILD_PREFIXES)}
    return {**application_environment(), **clients, "PATH": os.environ.get("PATH", os.defpath)}


def check_separation(root: Path) -> None:
    """As root, applications run as users of their own, who must be able to pass through every folder above."""
    if os.geteuid() != 0:
        return
    for folder in (root, *root.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            raise CannotStart(f"other users cannot pass through {folder}: chmod o+x {folder}, or use another folder")
