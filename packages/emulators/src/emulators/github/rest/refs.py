"""Git refs, branches and their protection."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from emulators.github.auth import Access, Administer, ReadAdministration, ReadContents, WriteContents
from emulators.github.bare import SHA
from emulators.github.errors import Conflict, GitError, NotFound, Unprocessable
from emulators.github.models import JsonObject
from emulators.github.rest.pages import WantedPage
from emulators.github.views import Views

router = APIRouter()


class NewRef(BaseModel):
    """A ref to create."""

    ref: str
    sha: str


class RefUpdate(BaseModel):
    """A ref to move."""

    sha: str
    force: bool = False


class Protection(BaseModel):
    """A branch's protection; kept as given. Only required status checks are enforced, at the merge."""

    model_config = ConfigDict(extra="allow")

    required_status_checks: dict[str, object] | None
    enforce_admins: bool | None
    required_pull_request_reviews: dict[str, object] | None
    restrictions: dict[str, object] | None


@router.get("/repos/{owner}/{repo}/git/ref/{ref:path}")
async def get_ref(access: ReadContents, ref: str) -> JsonObject:
    """Show one ref, given without refs/."""
    return await _ref(access, ref)


@router.get("/repos/{owner}/{repo}/git/matching-refs/{ref:path}")
async def matching_refs(access: ReadContents, ref: str) -> list[JsonObject]:
    """List the refs that start like this."""
    names = [name for name in await access.bare.refs() if name.startswith(f"refs/{ref}")]
    return [await _ref(access, name.removeprefix("refs/")) for name in names]


@router.post("/repos/{owner}/{repo}/git/refs", status_code=201)
async def create_ref(access: WriteContents, body: NewRef) -> JsonObject:
    """Create a ref at a commit of this repository."""
    if not body.ref.startswith("refs/") or body.ref.count("/") < 2:
        raise Unprocessable("Reference name must start with 'refs/' and have at least two slashes")
    if not await access.bare.refs():
        raise Conflict("Git Repository is empty.")
    await _require_commit(access, body.sha)
    if await access.bare.ref_object(body.ref) is not None:
        raise Unprocessable("Reference already exists")
    try:
        await access.bare.update_ref(body.ref, body.sha, "0" * 40)
    except GitError as error:
        raise Unprocessable(f"Reference name is not valid: {error.stderr.strip()}") from error
    await access.services.events.refs_changed(access.place)
    return await _ref(access, body.ref.removeprefix("refs/"))


@router.patch("/repos/{owner}/{repo}/git/refs/{ref:path}")
async def update_ref(access: WriteContents, ref: str, body: RefUpdate) -> JsonObject:
    """Move a ref; forward only unless forced."""
    found = await access.bare.ref_object(f"refs/{ref}")
    if found is None:
        raise Unprocessable("Reference does not exist")
    await _require_commit(access, body.sha)
    if not body.force and not await access.bare.is_ancestor(found[1], body.sha):
        raise Unprocessable("Update is not a fast forward")
    await access.bare.update_ref(f"refs/{ref}", body.sha, found[1])
    await access.services.events.refs_changed(access.place)
    return await _ref(access, ref)


@router.delete("/repos/{owner}/{repo}/git/refs/{ref:path}", status_code=204)
async def delete_ref(access: WriteContents, ref: str) -> None:
    """Delete a ref; open pull requests from a deleted branch are closed."""
    if await access.bare.ref_object(f"refs/{ref}") is None:
        raise Unprocessable("Reference does not exist")
    if ref == f"heads/{access.repository.default_branch}":
        raise Unprocessable("Cannot delete the default branch")
    await access.bare.delete_ref(f"refs/{ref}")
    await access.services.events.refs_changed(access.place)


@router.put("/repos/{owner}/{repo}/branches/{branch:path}/protection")
async def protect(access: Administer, branch: str, body: Protection) -> JsonObject:
    """Protect a branch."""
    await _branch_sha(access, branch)
    access.services.repositories.protect(access.repository.id, branch, body.model_dump())
    return _protection(access, branch)


@router.get("/repos/{owner}/{repo}/branches/{branch:path}/protection")
async def get_protection(access: ReadAdministration, branch: str) -> JsonObject:
    """Show a branch's protection."""
    await _branch_sha(access, branch)
    return _protection(access, branch)


@router.delete("/repos/{owner}/{repo}/branches/{branch:path}/protection", status_code=204)
async def unprotect(access: Administer, branch: str) -> None:
    """Lift a branch's protection."""
    _protection(access, branch)
    access.services.repositories.protect(access.repository.id, branch, None)


@router.get("/repos/{owner}/{repo}/branches")
async def list_branches(access: ReadContents, page: WantedPage) -> list[JsonObject]:
    """List the branches."""
    refs = await access.bare.refs()
    names = [name.removeprefix("refs/heads/") for name in refs if name.startswith("refs/heads/")]
    return [_short_branch(access, name, refs[f"refs/heads/{name}"]) for name in page.cut(names)]


@router.get("/repos/{owner}/{repo}/branches/{branch:path}")
async def get_branch(access: ReadContents, branch: str) -> JsonObject:
    """Show a branch with its last commit."""
    sha = await _branch_sha(access, branch)
    commit = await access.bare.commit(sha)
    shown = Views(access.base_url).commit(commit, access.repository)
    url = f"{Views(access.base_url).repository_url(access.repository)}/branches/{branch}"
    html = f"{access.base_url}/{access.repository.full_name}/tree/{branch}"
    return {
        **_short_branch(access, branch, sha),
        "commit": shown,
        "_links": {"self": url, "html": html},
        "protection": {"enabled": access.services.repositories.protection(access.repository.id, branch) is not None},
        "protection_url": f"{url}/protection",
    }


def _short_branch(access: Access, name: str, sha: str) -> JsonObject:
    url = Views(access.base_url).repository_url(access.repository)
    protected = access.services.repositories.protection(access.repository.id, name) is not None
    return {"name": name, "commit": {"sha": sha, "url": f"{url}/commits/{sha}"}, "protected": protected}


async def _branch_sha(access: Access, branch: str) -> str:
    found = await access.bare.ref_object(f"refs/heads/{branch}")
    if found is None:
        raise NotFound("Branch not found")
    return found[1]


async def _require_commit(access: Access, sha: str) -> None:
    if not SHA.fullmatch(sha) or await access.bare.commit_sha(sha) is None:
        raise Unprocessable("Object does not exist")


async def _ref(access: Access, ref: str) -> JsonObject:
    found = await access.bare.ref_object(f"refs/{ref}")
    if found is None:
        if not await access.bare.refs():
            raise Conflict("Git Repository is empty.")
        raise NotFound
    kind, sha = found
    url = Views(access.base_url).repository_url(access.repository)
    return {
        "ref": f"refs/{ref}",
        "node_id": f"REF_{sha[:12]}",
        "url": f"{url}/git/refs/{ref}",
        "object": {"type": kind, "sha": sha, "url": f"{url}/git/{kind}s/{sha}"},
    }


def _protection(access: Access, branch: str) -> JsonObject:
    body = access.services.repositories.protection(access.repository.id, branch)
    if body is None:
        raise NotFound("Branch not protected")
    url = f"{Views(access.base_url).repository_url(access.repository)}/branches/{branch}/protection"
    shown: JsonObject = {
        "url": url,
        "enforce_admins": {"url": f"{url}/enforce_admins", "enabled": bool(body["enforce_admins"])},
    }
    for name in ("required_pull_request_reviews", "restrictions"):
        if body.get(name) is not None:
            shown[name] = body[name]
    checks = body.get("required_status_checks")
    if isinstance(checks, dict):
        shown["required_status_checks"] = {
            "url": f"{url}/required_status_checks",
            "contexts_url": f"{url}/required_status_checks/contexts",
            "contexts": [],
            "checks": [{"context": context, "app_id": None} for context in checks.get("contexts") or ()],
            **checks,
        }
    for name in (
        "required_linear_history",
        "allow_force_pushes",
        "allow_deletions",
        "required_conversation_resolution",
    ):
        shown[name] = {"enabled": bool(body.get(name))}
    return shown
