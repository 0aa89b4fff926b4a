"""Bearer tokens: who calls, minted and read with one secret, one algorithm, one audience."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Literal

import jwt

from orchestrator_api.errors import Unauthenticated

ALGORITHM = "HS256"
AUDIENCE = "orchestrator"
CACHE_SIZE = 2048
CallerKind = Literal["service", "worker", "user"]
_KINDS: dict[str, CallerKind] = {"service": "service", "worker": "worker", "user": "user"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. A worker or a user sees and writes only the rows of `owner_id`; a service sees all."""

    kind: CallerKind
    name: str
    scopes: tuple[str, ...] = ()
    owner_id: str | None = None
    run_id: str | None = None
    expires_at: float = 0.0

    def may(self, scope: str) -> bool:
        """Tell whether a scope pattern of the token covers this `group.command`."""
        return any(fnmatchcase(scope, pattern) for pattern in self.scopes)

    @property
    def tenant(self) -> str:
        """Whose idempotency keys these are."""
        return f"owner:{self.owner_id}" if self.owner_id else f"service:{self.name}"


def service_token(secret: str, name: str, ttl_seconds: int = 365 * 86_400) -> str:
    """Return a token for a service of ours."""
    claims = {"sub": name, "kind": "service", "aud": AUDIENCE, "exp": int(time.time()) + ttl_seconds}
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


class Tokens:
    """Reads and mints tokens; what was verified is remembered until it expires."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._seen: dict[str, Caller] = {}

    def read(self, token: str) -> Caller:
        """Return the caller a token stands for, or raise Unauthenticated."""
        caller = self._seen.get(token)
        if caller is not None and caller.expires_at > time.time():
            return caller
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                options={"require": ["exp", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"the token is not valid: {error}") from error
        caller = _caller_of(claims)
        if len(self._seen) >= CACHE_SIZE:
            self._seen.clear()
        self._seen[token] = caller
        return caller

    def mint_worker(
        self, *, worker_id: str, owner_id: str, scopes: Sequence[str], run_id: str | None, ttl_seconds: int
    ) -> tuple[str, datetime]:
        """Return a worker's token and when it expires."""
        expires_at = int(time.time()) + ttl_seconds
        claims = {
            "sub": worker_id,
            "kind": "worker",
            "aud": AUDIENCE,
            "exp": expires_at,
            "scopes": list(scopes),
            "owner_id": owner_id,
            "run_id": run_id,
            "worker_id": worker_id,
        }
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM), datetime.fromtimestamp(expires_at, UTC)


def _caller_of(claims: dict[str, Any]) -> Caller:
    kind = _KINDS.get(str(claims.get("kind")))
    subject = str(claims["sub"])
    expires_at = float(claims["exp"])
    if kind == "service":
        return Caller("service", subject, expires_at=expires_at)
    if kind == "user":
        return Caller("user", subject, ("*",), owner_id=subject, expires_at=expires_at)
    owner_id, scopes = claims.get("owner_id"), claims.get("scopes")
    if kind is None or not isinstance(owner_id, str) or not owner_id or not isinstance(scopes, list):
        raise Unauthenticated("the token names no known kind of caller, owner or scopes")
    run_id = claims.get("run_id")
    return Caller(
        kind,
        subject,
        tuple(str(scope) for scope in scopes),
        owner_id,
        run_id if isinstance(run_id, str) else None,
        expires_at,
    )
