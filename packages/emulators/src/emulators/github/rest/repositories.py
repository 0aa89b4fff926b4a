"""Repositories: create, show, change, delete, list."""

import asyncio
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace

from fastapi import APIRouter, Request
from pydantic import BaseModel

from emulators.github.auth import Administer, InstallationToken, ReadMetadata
from emulators.github.errors import Forbidden, NotFound, Unprocessable
from emulators.github.events import Place
from emulators.github.models import JsonObject, Repository
from emulators.github.rest.pages import WantedPage
from emulators.github.services import COMMITTER, Services, server_url, services_of
from emulators.github.views import Views

router = APIRouter()

NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
DEFAULT_SETTINGS: Mapping[str, bool] = {
    "allow_merge_commit": True,
    "allow_squash_merge": True,
    "allow_rebase_merge": True,
    "allow_auto_merge": False,
    "delete_branch_on_merge": False,
    "has_issues": True,
    "has_wiki": True,
}


class RepositorySettings(BaseModel):
    """The changeable part of a repository."""

    name: str | None = None
    description: str | None = None
    private: bool | None = None
    visibility: str | None = None
    default_branch: str | None = None
    allow_merge_commit: bool | None = None
    allow_squash_merge: bool | None = None
    allow_rebase_merge: bool | None = None
    allow_auto_merge: bool | None = None
    delete_branch_on_merge: bool | None = None
    has_issues: bool | None = None
    has_wiki: bool | None = None

    def flags(self) -> dict[str, bool]:
        """Return the given settings."""
        values = {name: getattr(self, name) for name in DEFAULT_SETTINGS}
        return {name: value for name, value in values.items() if value is not None}

    def wants_private(self) -> bool | None:
        """Return what private and visibility say together."""
        return self.visibility == "private" if self.visibility is not None else self.private


class NewRepository(RepositorySettings):
    """A repository to create."""

    name: str
    auto_init: bool = False


@router.post("/orgs/{org}/repos", status_code=201)
async def create_repository(request: Request, token: InstallationToken, org: str, body: NewRepository) -> JsonObject:
    """Create a repository; 422 with GitHub's error when the name is taken."""
    services = services_of(request)
    owner = services.owner(org)
    if owner is None or owner.lower() != token.owner.lower():
        raise NotFound
    if not token.allows("administration", "write"):
        raise Forbidden("Resource not accessible by integration")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", body.name)
    if not NAME.fullmatch(name) or name in (".", "..") or name.endswith(".git"):
        raise Unprocessable.validation("Repository", "custom", field="name", message="name is invalid")
    _refuse_taken(services, owner, name)
    repository = services.repositories.add(
        owner, name, body.description, bool(body.wants_private()), {**DEFAULT_SETTINGS, **body.flags()}
    )
    bare = services.bare(repository)
    if bare.path.exists():
        await asyncio.to_thread(shutil.rmtree, bare.path)
    await bare.create(repository.default_branch)
    if body.auto_init:
        text = f"# {name}\n\n{body.description or ''}".rstrip() + "\n"
        tree = await bare.tree_with(None, "README.md", text.encode(), bare.path / "index.init")
        sha = await bare.commit_tree(tree, (), "Initial commit\n", services.bot, COMMITTER)
        await bare.update_ref(f"refs/heads/{repository.default_branch}", sha)
        await services.events.refs_changed(Place(repository, bare, server_url(request)))
    return Views(services.base_url(request)).repository(services.repositories.get(repository.id))


@router.get("/orgs/{org}/repos")
async def list_repositories(request: Request, token: InstallationToken, org: str, page: WantedPage) -> list[JsonObject]:
    """List an owner's repositories as far as the token sees them."""
    services = services_of(request)
    owner = services.owner(org)
    if owner is None:
        raise NotFound
    views = Views(services.base_url(request))
    seen = [repository for repository in services.repositories.of_owner(owner) if token.sees(repository)]
    return [views.repository(repository) for repository in page.cut(seen)]


@router.get("/repos/{owner}/{repo}")
async def get_repository(access: ReadMetadata) -> JsonObject:
    """Show a repository."""
    return Views(access.base_url).repository(access.repository)


@router.patch("/repos/{owner}/{repo}")
async def change_repository(access: Administer, body: RepositorySettings) -> JsonObject:
    """Change a repository; a new default branch must exist."""
    services, repository = access.services, access.repository
    if body.name is not None and body.name.lower() != repository.name.lower():
        if not NAME.fullmatch(body.name):
            raise Unprocessable.validation("Repository", "custom", field="name", message="name is invalid")
        _refuse_taken(services, repository.owner, body.name)
    if body.default_branch is not None:
        full = f"refs/heads/{body.default_branch}"
        if await access.bare.ref_object(full) is None:
            message = f"The branch {body.default_branch} was not found."
            raise Unprocessable.validation("Repository", "invalid", field="default_branch", message=message)
        await access.bare.output("symbolic-ref", "HEAD", full)
    changed = services.repositories.update(_changed(repository, body))
    return Views(access.base_url).repository(changed)


@router.delete("/repos/{owner}/{repo}", status_code=204)
async def delete_repository(access: Administer) -> None:
    """Delete a repository with everything in it; its runs are cancelled."""
    services = access.services
    for run in services.actions.runs(access.repository.id):
        if run.status != "completed":
            services.runner.cancel(run.id)
    services.repositories.delete(access.repository.id)
    await asyncio.to_thread(shutil.rmtree, access.bare.path, True)


def _changed(repository: Repository, body: RepositorySettings) -> Repository:
    private = body.wants_private()
    return replace(
        repository,
        name=body.name or repository.name,
        description=body.description if "description" in body.model_fields_set else repository.description,
        private=repository.private if private is None else private,
        default_branch=body.default_branch or repository.default_branch,
        settings={**repository.settings, **body.flags()},
    )


def _refuse_taken(services: Services, owner: str, name: str) -> None:
    if services.repositories.find(owner, name) is not None:
        raise Unprocessable(
            "Repository creation failed.",
            [
                {
                    "resource": "Repository",
                    "code": "custom",
                    "field": "name",
                    "message": "name already exists on this account",
                }
            ],
        )
