"""Who is calling: the App by its JWT, or an installation by its token; and what each may touch."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import jwt
from fastapi import Depends, Request
from jwt.types import Options

from emulators.github.bare import BareRepository
from emulators.github.errors import Forbidden, NotFound, Unauthorized
from emulators.github.events import Place
from emulators.github.models import Clock, Repository, Token
from emulators.github.services import Services, server_url, services_of

APP_PERMISSIONS: Mapping[str, str] = {
    "actions": "write",
    "actions_variables": "write",
    "administration": "write",
    "checks": "write",
    "contents": "write",
    "environments": "write",
    "issues": "write",
    "metadata": "read",
    "pull_requests": "write",
    "secrets": "write",
    "statuses": "write",
    "workflows": "write",
}
CLOCK_DRIFT_SECONDS = 60
MAX_JWT_SECONDS = 600
UNCHECKED: Options = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_iss": False,
    "verify_aud": False,
}


@dataclass(frozen=True)
class Access:
    """A request that may go on: everything a handler of one repository needs."""

    services: Services
    token: Token
    repository: Repository
    bare: BareRepository
    base_url: str
    server_url: str

    @property
    def place(self) -> Place:
        """Return the repository as events know it."""
        return Place(self.repository, self.bare, self.server_url)


def bearer(request: Request) -> str:
    """Return the credential of the Authorization header; raises Unauthorized when there is none."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    value = value.strip()
    if not value:
        raise Unauthorized("Requires authentication")
    if scheme.lower() == "basic":
        return basic_password(value) or ""
    if scheme.lower() not in ("bearer", "token"):
        raise Unauthorized("Bad credentials")
    return value


def basic_password(encoded: str) -> str | None:
    """Return the password of Basic credentials, None when they cannot be read."""
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None


def verify_app_jwt(encoded: str, app_id: int, public_key_pem: str, clock: Clock) -> None:
    """Check an App JWT as GitHub does: RS256, iss, iat not in the future, exp at most ten minutes ahead."""
    now = clock()
    try:
        claims = jwt.decode(encoded, public_key_pem, algorithms=["RS256"], options=UNCHECKED)
    except jwt.PyJWTError as error:
        raise Unauthorized("A JSON web token could not be decoded") from error
    expires, issued, issuer = claims.get("exp"), claims.get("iat"), claims.get("iss")
    if not isinstance(expires, int | float) or expires <= now:
        raise Unauthorized(
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the "
            "assertion expires"
        )
    if expires > now + MAX_JWT_SECONDS + CLOCK_DRIFT_SECONDS:
        raise Unauthorized("'Expiration time' claim ('exp') is too far in the future")
    if not isinstance(issued, int | float) or issued > now + CLOCK_DRIFT_SECONDS:
        raise Unauthorized(
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
        )
    if str(issuer) != str(app_id):
        raise Unauthorized("'Issuer' claim ('iss') must be the App's id")


async def app_services(request: Request) -> Services:
    """Let the App itself through."""
    services = services_of(request)
    settings = services.settings
    verify_app_jwt(bearer(request), settings.app_id, settings.app_public_key_pem, services.clock)
    return services


async def token_of(request: Request) -> Token:
    """Return the installation token of a request; raises Unauthorized."""
    token = services_of(request).tokens.find(bearer(request))
    if token is None:
        raise Unauthorized("Bad credentials")
    return token


def requires(permission: str, level: str) -> Callable[..., Awaitable[Access]]:
    """Build the dependency for handlers of one repository: visible (else 404) and permitted (else 403)."""

    async def dependency(request: Request, owner: str, repo: str) -> Access:
        services, token = services_of(request), await token_of(request)
        repository = services.repositories.find(owner, repo)
        if repository is None or not token.sees(repository):
            raise NotFound
        if not token.allows(permission, level):
            raise Forbidden("Resource not accessible by integration")
        base_url, own_url = services.base_url(request), server_url(request)
        return Access(services, token, repository, services.bare(repository), base_url, own_url)

    return dependency


AppServices = Annotated[Services, Depends(app_services)]
InstallationToken = Annotated[Token, Depends(token_of)]
ReadMetadata = Annotated[Access, Depends(requires("metadata", "read"))]
Administer = Annotated[Access, Depends(requires("administration", "write"))]
ReadAdministration = Annotated[Access, Depends(requires("administration", "read"))]
ReadContents = Annotated[Access, Depends(requires("contents", "read"))]
WriteContents = Annotated[Access, Depends(requires("contents", "write"))]
ReadPulls = Annotated[Access, Depends(requires("pull_requests", "read"))]
WritePulls = Annotated[Access, Depends(requires("pull_requests", "write"))]
ReadChecks = Annotated[Access, Depends(requires("checks", "read"))]
ReadStatuses = Annotated[Access, Depends(requires("statuses", "read"))]
WriteStatuses = Annotated[Access, Depends(requires("statuses", "write"))]
ReadActions = Annotated[Access, Depends(requires("actions", "read"))]
WriteActions = Annotated[Access, Depends(requires("actions", "write"))]
ReadSecrets = Annotated[Access, Depends(requires("secrets", "read"))]
WriteSecrets = Annotated[Access, Depends(requires("secrets", "write"))]
ReadVariables = Annotated[Access, Depends(requires("actions_variables", "read"))]
WriteVariables = Annotated[Access, Depends(requires("actions_variables", "write"))]
