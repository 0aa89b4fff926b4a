"""The secrets of one stack: made once, kept in a file only its owner can read."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local_stack.errors import Precondition

TOKEN_LIFETIME = timedelta(days=30)
AUDIENCE = "orchestrator"


@dataclass(frozen=True, slots=True)
class Credentials:
    postgres_password: str
    redis_password: str
    api_jwt_secret: str
    attempt_secret: str
    deploy_token: str
    telegram_token: str
    anthropic_key: str
    github_app_id: str

    @classmethod
    def generate(cls) -> Credentials:
        return cls(
            postgres_password=secrets.token_hex(16),
            redis_password=secrets.token_hex(16),
            api_jwt_secret=secrets.token_hex(32),
            attempt_secret=secrets.token_hex(32),
            deploy_token=secrets.token_hex(24),
            telegram_token=f"{secrets.randbelow(9 * 10**8) + 10**8}:{secrets.token_urlsafe(26)[:35]}",
            anthropic_key=f"emulated-{secrets.token_hex(12)}",
            github_app_id=str(secrets.randbelow(900_000) + 100_000),
        )

    @classmethod
    def load_or_create(cls, keys: Path) -> Credentials:
        """Read the stack's secrets, making them at the first start; a damaged file is named, never replaced."""
        path = keys / "credentials.json"
        if not path.exists():
            created = cls.generate()
            path.touch(mode=0o600)
            path.write_text(json.dumps(asdict(created), indent=1))
            return created
        try:
            values = json.loads(path.read_text())
            return cls(**{field.name: str(values[field.name]) for field in fields(cls)})
        except (ValueError, KeyError, TypeError) as error:
            raise Precondition(
                f"{path} is damaged ({error})", "restore the file, or remove the whole home to start afresh"
            ) from error

    def service_token(self, service: str) -> str:
        """Return a token with which one service calls the api."""
        now = datetime.now(UTC)
        claims = {"sub": service, "kind": "service", "aud": AUDIENCE, "iat": now, "exp": now + TOKEN_LIFETIME}
        return jwt.encode(claims, self.api_jwt_secret, algorithm="HS256")


def ensure_github_key(keys: Path) -> tuple[Path, Path]:
    """Return the emulated GitHub App's private and public key files, made once."""
    private, public = keys / "github-app.pem", keys / "github-app.pub.pem"
    if not (private.exists() and public.exists()):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private.touch(mode=0o600)
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        public.write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
    return private, public
