"""The App's identity: its JWT, its installations, their tokens. Tokens live in memory only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import JsonValue, SecretStr

from shared.clients.github.errors import GitHubNotFound, GitHubUnauthorized
from shared.clients.github.lane import Lane
from shared.clients.github.models import Installation, InstallationToken
from shared.clients.github.reading import read
from shared.clients.github.transport import Call, Transport
from shared.infra import Clock

REFRESH_MARGIN = timedelta(minutes=5)
# GitHub refuses a JWT issued in its future and one that lives for more than ten minutes.
_JWT_BACKDATE = timedelta(seconds=60)
_JWT_LIFETIME = timedelta(minutes=8)


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """A GitHub App: its id and its private key (PEM)."""

    app_id: str
    private_key_pem: SecretStr


@dataclass(frozen=True, slots=True)
class TokenScope:
    """What a token is for: a whole installation, or one repository with named permissions."""

    owner: str
    repository: str | None = None
    permissions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_repository(cls, full_name: str, permissions: Mapping[str, str]) -> TokenScope:
        owner, _, name = full_name.lower().partition("/")
        return cls(owner, name, tuple(sorted(permissions.items())))

    def body(self) -> dict[str, JsonValue]:
        if self.repository is None:
            return {}
        return {"repositories": [self.repository], "permissions": dict(self.permissions)}


class AppAuth:
    """Hands out tokens that stay valid for at least five minutes; concurrent callers share one request."""

    def __init__(self, credentials: AppCredentials, transport: Transport, clock: Clock) -> None:
        self._credentials = credentials
        self._transport = transport
        self._clock = clock
        self._lane = Lane()
        self._installations: dict[str, Installation] = {}
        self._tokens: dict[TokenScope, InstallationToken] = {}
        self._locks: dict[TokenScope, asyncio.Lock] = {}

    async def installation(self, owner: str) -> Installation:
        """Return the App's installation of an account; raises GitHubUnauthorized when there is none."""
        known = self._installations.get(owner.lower())
        if known is not None:
            return known
        for kind in ("orgs", "users"):
            try:
                response = await self._transport.send(
                    Call("GET", f"/{kind}/{owner}/installation"), self._app_jwt, self._lane
                )
            except GitHubNotFound:
                continue
            found = read(Installation, response)
            self._installations[owner.lower()] = found
            return found
        raise GitHubUnauthorized(f"the GitHub App is not installed for {owner}: install it for that account")

    async def token(self, scope: TokenScope) -> SecretStr:
        """Return a token of this scope, from memory while it is fresh enough."""
        fresh = self._fresh(scope)
        if fresh is not None:
            return fresh
        async with self._locks.setdefault(scope, asyncio.Lock()):
            fresh = self._fresh(scope)
            if fresh is not None:
                return fresh
            created = await self._create(scope)
            self._drop_expired()
            self._tokens[scope] = created
            return SecretStr(created.token)

    def forget(self, scope: TokenScope) -> None:
        """Drop a token that GitHub no longer accepts."""
        self._tokens.pop(scope, None)

    def _fresh(self, scope: TokenScope) -> SecretStr | None:
        token = self._tokens.get(scope)
        if token is None or token.expires_at - self._clock.now() < REFRESH_MARGIN:
            return None
        return SecretStr(token.token)

    def _drop_expired(self) -> None:
        now = self._clock.now()
        for scope in [scope for scope, token in self._tokens.items() if token.expires_at <= now]:
            del self._tokens[scope]
            lock = self._locks.get(scope)
            if lock is not None and not lock.locked():
                del self._locks[scope]

    async def _create(self, scope: TokenScope) -> InstallationToken:
        installation = await self.installation(scope.owner)
        path = f"/app/installations/{installation.id}/access_tokens"
        try:
            response = await self._transport.send(Call("POST", path, scope.body()), self._app_jwt, self._lane)
        except GitHubNotFound:
            # Removed and installed again, the App has another installation id: ask for it next time.
            self._installations.pop(scope.owner.lower(), None)
            raise
        return read(InstallationToken, response)

    async def _app_jwt(self) -> SecretStr:
        now = self._clock.now()
        claims = {
            "iat": int((now - _JWT_BACKDATE).timestamp()),
            "exp": int((now + _JWT_LIFETIME).timestamp()),
            "iss": self._credentials.app_id,
        }
        try:
            return SecretStr(jwt.encode(claims, _read_key(self._credentials.private_key_pem), algorithm="RS256"))
        except (ValueError, TypeError, UnsupportedAlgorithm, jwt.PyJWTError) as error:
            raise GitHubUnauthorized("the GitHub App's private key is no RSA key in PEM form") from error


@cache
def _read_key(pem: SecretStr) -> RSAPrivateKey:
    """Read a key once: it is checked as it is read, which takes 50 ms. ValueError, TypeError when it is none."""
    key = load_pem_private_key(pem.get_secret_value().encode(), password=None)
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("no RSA key")
    return key
