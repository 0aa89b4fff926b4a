"""What the emulator is started with; the only module here that reads the environment of the process."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PASSED_PREFIXES = ("PIP_", "UV_")
PASSED_NAMES = frozenset(
    {
        "PATH",
        "LANG",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
    }
)


@dataclass(frozen=True)
class RunnerSettings:
    """How jobs are executed: as whom (None: as this process), with what on PATH, how many at once.

    caches: where packages and prepared interpreters are kept; several emulators with the same user may share it.
    """

    uid: int | None = None
    path: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    parallel: int = 2
    directory: Path | None = None
    caches: Path | None = None


@dataclass(frozen=True)
class GitHubSettings:
    """One emulated GitHub with one App installed for every owner."""

    state: Path
    app_id: int
    app_public_key_pem: str
    owners: tuple[str, ...]
    app_slug: str = "codegen-orchestrator"
    token_ttl_seconds: int = 3600
    public_url: str | None = None
    listen_url: str = "http://127.0.0.1"
    runner: RunnerSettings = field(default_factory=RunnerSettings)


def passed_environment() -> dict[str, str]:
    """Return what of this process's environment a job may see: PATH, LANG and the package clients' settings."""
    return {
        name: value for name, value in os.environ.items() if name in PASSED_NAMES or name.startswith(PASSED_PREFIXES)
    }


def git_environment() -> dict[str, str]:
    """Return the environment of every git process: no configuration of the host, no prompts, any owner of files."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "GIT_CONFIG_KEY_1": "gc.auto",
        "GIT_CONFIG_VALUE_1": "0",
    }
