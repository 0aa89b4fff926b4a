"""Repositories, their known refs, protections and statuses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from nacl.public import PrivateKey

from emulators.github.database import Database
from emulators.github.models import Clock, JsonObject, Repository, Status, timestamp


@dataclass(frozen=True)
class RepositoryTable:
    """Rows of repositories and of what hangs directly on them."""

    database: Database
    clock: Clock

    def find(self, owner: str, name: str) -> Repository | None:
        """Find by owner and name, without case."""
        row = self.database.one("SELECT * FROM repositories WHERE owner = ? AND name = ?", (owner, name))
        return None if row is None else Repository.of(row)

    def get(self, repository_id: int) -> Repository:
        """Return the row of an id that exists."""
        row = self.database.one("SELECT * FROM repositories WHERE id = ?", (repository_id,))
        assert row is not None
        return Repository.of(row)

    def all(self) -> list[Repository]:
        """Return every repository."""
        return [Repository.of(row) for row in self.database.all("SELECT * FROM repositories ORDER BY id")]

    def of_owner(self, owner: str) -> list[Repository]:
        """Return an owner's repositories, newest first."""
        rows = self.database.all("SELECT * FROM repositories WHERE owner = ? ORDER BY id DESC", (owner,))
        return [Repository.of(row) for row in rows]

    def add(
        self, owner: str, name: str, description: str | None, private: bool, settings: Mapping[str, bool]
    ) -> Repository:
        """Insert a repository whose default branch is main, with its own key for secrets."""
        now = timestamp(self.clock())
        row_id = self.database.insert(
            "INSERT INTO repositories (owner, name, description, private, default_branch, settings, secret_key, "
            "created_at, updated_at) VALUES (?, ?, ?, ?, 'main', ?, ?, ?, ?)",
            (owner, name, description, private, json.dumps(dict(settings)), bytes(PrivateKey.generate()), now, now),
        )
        return self.get(row_id)

    def update(self, repository: Repository) -> Repository:
        """Write the changeable columns of a row."""
        self.database.execute(
            "UPDATE repositories SET name = ?, description = ?, private = ?, default_branch = ?, settings = ?, "
            "updated_at = ? WHERE id = ?",
            (
                repository.name,
                repository.description,
                repository.private,
                repository.default_branch,
                json.dumps(dict(repository.settings)),
                timestamp(self.clock()),
                repository.id,
            ),
        )
        return self.get(repository.id)

    def touch_pushed(self, repository_id: int) -> None:
        """Note a push."""
        self.database.execute(
            "UPDATE repositories SET pushed_at = ? WHERE id = ?", (timestamp(self.clock()), repository_id)
        )

    def delete(self, repository_id: int) -> None:
        """Delete a repository with all its rows."""
        self.database.execute("DELETE FROM repositories WHERE id = ?", (repository_id,))

    def take_number(self, repository_id: int) -> int:
        """Return the next number of an issue or pull request."""
        row = self.database.one("SELECT next_number FROM repositories WHERE id = ?", (repository_id,))
        assert row is not None
        self.database.execute("UPDATE repositories SET next_number = next_number + 1 WHERE id = ?", (repository_id,))
        return int(row["next_number"])

    def known_refs(self, repository_id: int) -> dict[str, str]:
        """Return the refs whose events were already sent."""
        rows = self.database.all("SELECT name, sha FROM refs WHERE repository_id = ?", (repository_id,))
        return {row["name"]: row["sha"] for row in rows}

    def remember_refs(self, repository_id: int, refs: Mapping[str, str]) -> None:
        """Replace the known refs."""
        self.database.execute("DELETE FROM refs WHERE repository_id = ?", (repository_id,))
        for name, sha in refs.items():
            self.database.execute("INSERT INTO refs VALUES (?, ?, ?)", (repository_id, name, sha))

    def protection(self, repository_id: int, branch: str) -> JsonObject | None:
        """Return what was put as a branch's protection."""
        row = self.database.one(
            "SELECT body FROM protections WHERE repository_id = ? AND branch = ?", (repository_id, branch)
        )
        return None if row is None else json.loads(row["body"])

    def protect(self, repository_id: int, branch: str, body: JsonObject | None) -> None:
        """Set or, with None, lift a branch's protection."""
        self.database.execute("DELETE FROM protections WHERE repository_id = ? AND branch = ?", (repository_id, branch))
        if body is not None:
            self.database.execute("INSERT INTO protections VALUES (?, ?, ?)", (repository_id, branch, json.dumps(body)))

    def add_status(
        self, repository_id: int, sha: str, context: str, state: str, about: Mapping[str, str | None]
    ) -> Status:
        """Insert a commit status; about holds description and target_url."""
        row_id = self.database.insert(
            "INSERT INTO statuses (repository_id, sha, context, state, description, target_url, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                repository_id,
                sha,
                context,
                state,
                about.get("description"),
                about.get("target_url"),
                timestamp(self.clock()),
            ),
        )
        return next(status for status in self.statuses(repository_id, sha) if status.id == row_id)

    def statuses(self, repository_id: int, sha: str) -> list[Status]:
        """Return the latest status of each context at a commit."""
        rows = self.database.all(
            "SELECT * FROM statuses WHERE id IN (SELECT max(id) FROM statuses WHERE repository_id = ? AND sha = ? "
            "GROUP BY context) ORDER BY id",
            (repository_id, sha),
        )
        return [Status.of(row) for row in rows]
