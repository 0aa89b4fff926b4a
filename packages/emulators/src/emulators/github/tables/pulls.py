"""Pull requests."""

from dataclasses import dataclass

from emulators.github.database import Database
from emulators.github.models import Clock, PullRequest, timestamp


@dataclass(frozen=True)
class PullTable:
    """Rows of pull requests."""

    database: Database
    clock: Clock

    def find(self, repository_id: int, number: int) -> PullRequest | None:
        """Find by number."""
        row = self.database.one("SELECT * FROM pulls WHERE repository_id = ? AND number = ?", (repository_id, number))
        return None if row is None else PullRequest.of(row)

    def all(self, repository_id: int) -> list[PullRequest]:
        """Return a repository's pull requests, newest first."""
        rows = self.database.all("SELECT * FROM pulls WHERE repository_id = ? ORDER BY id DESC", (repository_id,))
        return [PullRequest.of(row) for row in rows]

    def open(self, repository_id: int) -> list[PullRequest]:
        """Return the open ones."""
        return [pull for pull in self.all(repository_id) if pull.state == "open"]

    def add(self, pull: PullRequest) -> PullRequest:
        """Insert a pull request; its id, and both dates, are set here."""
        now = timestamp(self.clock())
        self.database.execute(
            "INSERT INTO pulls (repository_id, number, title, body, state, draft, head_ref, base_ref, head_sha, "
            "base_sha, created_at, updated_at) VALUES (?, ?, ?, ?, 'open', ?, ?, ?, ?, ?, ?, ?)",
            (
                pull.repository_id,
                pull.number,
                pull.title,
                pull.body,
                pull.draft,
                pull.head_ref,
                pull.base_ref,
                pull.head_sha,
                pull.base_sha,
                now,
                now,
            ),
        )
        return self._again(pull)

    def update(self, pull: PullRequest) -> PullRequest:
        """Write the changeable columns of a row."""
        self.database.execute(
            "UPDATE pulls SET title = ?, body = ?, state = ?, draft = ?, base_ref = ?, head_sha = ?, base_sha = ?, "
            "closed_at = ?, merged_at = ?, merge_sha = ?, updated_at = ? WHERE repository_id = ? AND number = ?",
            (
                pull.title,
                pull.body,
                pull.state,
                pull.draft,
                pull.base_ref,
                pull.head_sha,
                pull.base_sha,
                pull.closed_at,
                pull.merged_at,
                pull.merge_sha,
                timestamp(self.clock()),
                pull.repository_id,
                pull.number,
            ),
        )
        return self._again(pull)

    def _again(self, pull: PullRequest) -> PullRequest:
        found = self.find(pull.repository_id, pull.number)
        assert found is not None
        return found
