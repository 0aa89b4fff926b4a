"""Installation tokens; only their digests are stored."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from emulators.github.database import Database
from emulators.github.models import Clock, Token


@dataclass(frozen=True)
class TokenTable:
    """Rows of tokens."""

    database: Database
    clock: Clock
    ttl_seconds: int

    def issue(
        self,
        owner: str,
        repository_ids: frozenset[int] | None,
        permissions: Mapping[str, str],
        *,
        quiet: bool = False,
    ) -> tuple[str, float]:
        """Make a token; returns it and when it expires, in seconds since the epoch."""
        token = f"ghs_{secrets.token_urlsafe(27).replace('-', 'x').replace('_', 'y')}"
        expires_at = self.clock() + self.ttl_seconds
        self.database.execute("DELETE FROM tokens WHERE expires_at < ?", (self.clock() - 86_400,))
        self.database.execute(
            "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)",
            (
                _digest(token),
                owner,
                None if repository_ids is None else json.dumps(sorted(repository_ids)),
                json.dumps(dict(permissions)),
                expires_at,
                quiet,
            ),
        )
        return token, expires_at

    def find(self, token: str) -> Token | None:
        """Return the token unless it is unknown or has expired."""
        row = self.database.one("SELECT * FROM tokens WHERE digest = ?", (_digest(token),))
        if row is None or row["expires_at"] <= self.clock():
            return None
        return Token.of(row)

    def revoke(self, token: str) -> None:
        """Forget a token."""
        self.database.execute("DELETE FROM tokens WHERE digest = ?", (_digest(token),))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
