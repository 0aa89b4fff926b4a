"""The App, its installations and their tokens."""

from fastapi import APIRouter, Request
from pydantic import BaseModel

from emulators.github.auth import APP_PERMISSIONS, AppServices, InstallationToken, bearer
from emulators.github.errors import NotFound, Unprocessable
from emulators.github.models import JsonObject, timestamp
from emulators.github.rest.pages import WantedPage
from emulators.github.services import Services, services_of
from emulators.github.views import Views, stable_id

router = APIRouter()

INSTALLED_AT = "2026-01-01T00:00:00Z"


class TokenWishes(BaseModel):
    """What a token is to be limited to."""

    repositories: list[str] | None = None
    repository_ids: list[int] | None = None
    permissions: dict[str, str] | None = None


def installation_id(owner: str) -> int:
    """Return the id of the App's installation for an owner."""
    return stable_id(f"installation of {owner}") % 100_000_000


@router.get("/app")
async def get_app(services: AppServices, request: Request) -> JsonObject:
    """Show the App."""
    settings = services.settings
    return {
        "id": settings.app_id,
        "slug": settings.app_slug,
        "node_id": f"A_{settings.app_id}",
        "client_id": f"Iv1.{settings.app_id}",
        "name": settings.app_slug,
        "owner": Views(services.base_url(request)).owner(settings.owners[0]),
        "description": None,
        "external_url": services.base_url(request),
        "html_url": f"{services.base_url(request)}/apps/{settings.app_slug}",
        "created_at": INSTALLED_AT,
        "updated_at": INSTALLED_AT,
        "permissions": dict(APP_PERMISSIONS),
        "events": [],
        "installations_count": len(settings.owners),
    }


@router.get("/app/installations")
async def list_installations(services: AppServices, request: Request, page: WantedPage) -> list[JsonObject]:
    """List the installations: one per owner."""
    return page.cut([_installation(services, request, owner) for owner in services.settings.owners])


@router.get("/app/installations/{number}")
async def get_installation(services: AppServices, request: Request, number: int) -> JsonObject:
    """Show one installation."""
    return _installation(services, request, _owner_of(services, number))


@router.get("/orgs/{login}/installation")
@router.get("/users/{login}/installation")
async def get_account_installation(services: AppServices, request: Request, login: str) -> JsonObject:
    """Show the installation for an owner."""
    owner = services.owner(login)
    if owner is None:
        raise NotFound
    return _installation(services, request, owner)


@router.get("/repos/{owner}/{repo}/installation")
async def get_repository_installation(services: AppServices, request: Request, owner: str, repo: str) -> JsonObject:
    """Show the installation that covers a repository."""
    repository = services.repositories.find(owner, repo)
    if repository is None:
        raise NotFound
    return _installation(services, request, repository.owner)


@router.post("/app/installations/{number}/access_tokens", status_code=201)
async def create_token(
    services: AppServices, request: Request, number: int, wishes: TokenWishes | None = None
) -> JsonObject:
    """Issue a token, limited to repositories and permissions when the body says so."""
    owner = _owner_of(services, number)
    wishes = wishes or TokenWishes()
    permissions = _permissions(wishes.permissions)
    ids = _repository_ids(services, owner, wishes)
    token, expires_at = services.tokens.issue(owner, ids, permissions)
    body: JsonObject = {
        "token": token,
        "expires_at": timestamp(expires_at),
        "permissions": permissions,
        "repository_selection": "all" if ids is None else "selected",
    }
    if ids is not None:
        views = Views(services.base_url(request))
        body["repositories"] = [views.repository(services.repositories.get(row_id)) for row_id in sorted(ids)]
    return body


@router.delete("/installation/token", status_code=204)
async def revoke_token(token: InstallationToken, request: Request) -> None:
    """Revoke the token the request is made with."""
    services_of(request).tokens.revoke(bearer(request))


@router.get("/installation/repositories")
async def list_installation_repositories(token: InstallationToken, request: Request, page: WantedPage) -> JsonObject:
    """List what the token sees."""
    services = services_of(request)
    views = Views(services.base_url(request))
    seen = [repository for repository in services.repositories.of_owner(token.owner) if token.sees(repository)]
    return {"total_count": len(seen), "repositories": [views.repository(item) for item in page.cut(seen)]}


def _owner_of(services: Services, number: int) -> str:
    for owner in services.settings.owners:
        if installation_id(owner) == number:
            return owner
    raise NotFound


def _permissions(wanted: dict[str, str] | None) -> dict[str, str]:
    if wanted is None:
        return dict(APP_PERMISSIONS)
    for name, level in wanted.items():
        held = APP_PERMISSIONS.get(name)
        if level not in ("read", "write") or held is None or (level == "write" and held == "read"):
            raise Unprocessable("The permissions requested are not granted to this installation.")
    return {"metadata": "read", **wanted}


def _repository_ids(services: Services, owner: str, wishes: TokenWishes) -> frozenset[int] | None:
    if wishes.repositories is None and wishes.repository_ids is None:
        return None
    mine = services.repositories.of_owner(owner)
    wanted_names = {name.lower() for name in wishes.repositories or ()}
    wanted_ids = set(wishes.repository_ids or ())
    found = [item for item in mine if item.name.lower() in wanted_names or item.id in wanted_ids]
    if not found or wanted_names - {item.name.lower() for item in found} or wanted_ids - {item.id for item in mine}:
        raise Unprocessable(
            "There is at least one repository that does not exist or is not accessible to the parent installation."
        )
    return frozenset(item.id for item in found)


def _installation(services: Services, request: Request, owner: str) -> JsonObject:
    base, number = services.base_url(request), installation_id(owner)
    return {
        "id": number,
        "account": Views(base).owner(owner),
        "app_id": services.settings.app_id,
        "app_slug": services.settings.app_slug,
        "target_id": stable_id(owner),
        "target_type": "Organization",
        "repository_selection": "all",
        "permissions": dict(APP_PERMISSIONS),
        "events": [],
        "access_tokens_url": f"{base}/app/installations/{number}/access_tokens",
        "repositories_url": f"{base}/installation/repositories",
        "html_url": f"{base}/organizations/{owner}/settings/installations/{number}",
        "created_at": INSTALLED_AT,
        "updated_at": INSTALLED_AT,
        "single_file_name": None,
        "suspended_at": None,
        "suspended_by": None,
    }
