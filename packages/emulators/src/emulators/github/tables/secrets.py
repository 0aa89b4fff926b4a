"""Actions secrets, kept sealed as they came, and variables."""

from dataclasses import dataclass

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from emulators.github.database import Database
from emulators.github.models import Clock, Repository, timestamp


@dataclass(frozen=True)
class Entry:
    """A secret or variable as lists show it; a secret's value is never here."""

    name: str
    created_at: str
    updated_at: str
    value: str | None = None


def can_open(repository: Repository, sealed: bytes) -> bool:
    """Tell whether a sealed box was made for this repository's public key."""
    try:
        SealedBox(PrivateKey(repository.secret_key)).decrypt(sealed)
    except CryptoError:
        return False
    return True


@dataclass(frozen=True)
class SecretTable:
    """Rows of secrets and variables; names are upper case, as on GitHub."""

    database: Database
    clock: Clock

    def put_secret(self, repository_id: int, name: str, sealed: bytes) -> bool:
        """Set a secret; returns whether it is new."""
        now = timestamp(self.clock())
        changed = self.database.execute(
            "UPDATE secrets SET sealed = ?, updated_at = ? WHERE repository_id = ? AND name = ?",
            (sealed, now, repository_id, name.upper()),
        )
        if not changed:
            self.database.execute(
                "INSERT INTO secrets VALUES (?, ?, ?, ?, ?)", (repository_id, name.upper(), sealed, now, now)
            )
        return not changed

    def secrets(self, repository_id: int) -> list[Entry]:
        """List a repository's secrets by name."""
        rows = self.database.all(
            "SELECT name, created_at, updated_at FROM secrets WHERE repository_id = ? ORDER BY name", (repository_id,)
        )
        return [Entry(row["name"], row["created_at"], row["updated_at"]) for row in rows]

    def delete_secret(self, repository_id: int, name: str) -> bool:
        """Delete a secret; returns whether there was one."""
        return bool(
            self.database.execute(
                "DELETE FROM secrets WHERE repository_id = ? AND name = ?", (repository_id, name.upper())
            )
        )

    def opened(self, repository: Repository) -> dict[str, str]:
        """Return the values for the runner."""
        box = SealedBox(PrivateKey(repository.secret_key))
        rows = self.database.all("SELECT name, sealed FROM secrets WHERE repository_id = ?", (repository.id,))
        return {row["name"]: box.decrypt(row["sealed"]).decode(errors="replace") for row in rows}

    def put_variable(self, repository_id: int, name: str, value: str) -> bool:
        """Set a variable; returns whether it is new."""
        now = timestamp(self.clock())
        changed = self.database.execute(
            "UPDATE variables SET value = ?, updated_at = ? WHERE repository_id = ? AND name = ?",
            (value, now, repository_id, name.upper()),
        )
        if not changed:
            self.database.execute(
                "INSERT INTO variables VALUES (?, ?, ?, ?, ?)", (repository_id, name.upper(), value, now, now)
            )
        return not changed

    def variables(self, repository_id: int) -> list[Entry]:
        """List a repository's variables by name."""
        rows = self.database.all("SELECT * FROM variables WHERE repository_id = ? ORDER BY name", (repository_id,))
        return [Entry(row["name"], row["created_at"], row["updated_at"], row["value"]) for row in rows]

    def delete_variable(self, repository_id: int, name: str) -> bool:
        """Delete a variable; returns whether there was one."""
        return bool(
            self.database.execute(
                "DELETE FROM variables WHERE repository_id = ? AND name = ?", (repository_id, name.upper())
            )
        )
