"""The rows as frozen values. JSON columns are decoded here and nowhere else."""

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Self

Clock = Callable[[], float]
JsonObject = dict[str, object]


def timestamp(seconds: float) -> str:
    """Format seconds since the epoch as GitHub does, e.g. 2026-01-31T12:00:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Row:
    """Base of all rows: column names are field names."""

    @classmethod
    def _decoders(cls) -> Mapping[str, Callable[[Any], Any]]:
        return {}

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """Build the value from a database row; columns without a field are left out."""
        decoders = cls._decoders()
        names = set(row.keys()) & {field.name for field in fields(cls)}
        return cls(**{name: decoders[name](row[name]) if name in decoders else row[name] for name in names})


@dataclass(frozen=True)
class Token(Row):
    """An installation token; repository_ids None means every repository of the owner, present and future.

    A quiet one belongs to a job: its pushes start no runs.
    """

    digest: str
    owner: str
    repository_ids: frozenset[int] | None
    permissions: Mapping[str, str]
    expires_at: float
    quiet: bool

    @classmethod
    def _decoders(cls) -> Mapping[str, Callable[[Any], Any]]:
        return {
            "quiet": bool,
            "repository_ids": lambda text: None if text is None else frozenset(json.loads(text)),
            "permissions": json.loads,
        }

    def allows(self, permission: str, level: str) -> bool:
        """Tell whether the token holds the permission at that level ("read" or "write")."""
        held = self.permissions.get(permission)
        return held in ("write", "admin") or (held == "read" and level == "read")

    def sees(self, repository: "Repository") -> bool:
        """Tell whether the repository is in the token's scope."""
        if self.owner.lower() != repository.owner.lower():
            return False
        return self.repository_ids is None or repository.id in self.repository_ids


@dataclass(frozen=True)
class Repository(Row):
    """A repository; its git data is in a bare repository named by the id."""

    id: int
    owner: str
    name: str
    description: str | None
    private: bool
    default_branch: str
    settings: Mapping[str, bool]
    secret_key: bytes
    created_at: str
    updated_at: str
    pushed_at: str | None

    @classmethod
    def _decoders(cls) -> Mapping[str, Callable[[Any], Any]]:
        return {"private": bool, "settings": json.loads}

    @property
    def full_name(self) -> str:
        """Return owner/name."""
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True)
class PullRequest(Row):
    """A pull request between two branches of one repository; forks do not exist here."""

    id: int
    repository_id: int
    number: int
    title: str
    body: str | None
    state: str
    draft: bool
    head_ref: str
    base_ref: str
    head_sha: str
    base_sha: str
    created_at: str
    updated_at: str
    closed_at: str | None
    merged_at: str | None
    merge_sha: str | None

    @classmethod
    def _decoders(cls) -> Mapping[str, Callable[[Any], Any]]:
        return {"draft": bool}


@dataclass(frozen=True)
class WorkflowRun(Row):
    """One run of one workflow file at one commit; message says why it could not start."""

    id: int
    repository_id: int
    workflow_id: int
    path: str
    name: str
    run_number: int
    run_attempt: int
    event: str
    ref: str
    head_branch: str
    head_sha: str
    display_title: str
    status: str
    conclusion: str | None
    message: str | None
    inputs: Mapping[str, object]
    payload: JsonObject
    server_url: str
    pull_number: int | None
    cancelled: bool
    created_at: str
    updated_at: str
    run_started_at: str

    @classmethod
    def _decoders(cls) -> Mapping[str, Callable[[Any], Any]]:
        return {"inputs": json.loads, "payload": json.loads, "cancelled": bool}


@dataclass(frozen=True)
class Job(Row):
    """One job of a run, which is also its check run; steps as GitHub shows them."""

    id: int
    run_id: int
    key: str
    name: str
    status: str
    conclusion: str | None
    started_at: str | None
    completed_at: str | None
    created_at: str
    steps: list[JsonObject]

    @classmethod
    def _decoders(cls) -> Mapping[str, Callable[[Any], Any]]:
        return {"steps": json.loads}


@dataclass(frozen=True)
class Artifact(Row):
    """An uploaded artifact; the archive is a file named by the id."""

    id: int
    run_id: int
    name: str
    size: int
    created_at: str


@dataclass(frozen=True)
class Status(Row):
    """A commit status set by somebody outside Actions."""

    id: int
    sha: str
    context: str
    state: str
    description: str | None
    target_url: str | None
    created_at: str
