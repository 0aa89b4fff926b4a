"""Git objects: commits, trees and blobs, read only."""

import base64

from fastapi import APIRouter

from emulators.github.auth import ReadContents
from emulators.github.bare import SHA
from emulators.github.errors import GitError, NotFound
from emulators.github.models import JsonObject
from emulators.github.views import Views

router = APIRouter()


@router.get("/repos/{owner}/{repo}/git/commits/{sha}")
async def get_git_commit(access: ReadContents, sha: str) -> JsonObject:
    """Show the git part of a commit."""
    if await access.bare.commit_sha(sha) != sha:
        raise NotFound
    commit = await access.bare.commit(sha)
    parents = [{"sha": parent} for parent in commit.parents]
    return {**Views(access.base_url).git_commit(commit, access.repository), "sha": sha, "parents": parents}


@router.get("/repos/{owner}/{repo}/git/trees/{name:path}")
async def get_tree(access: ReadContents, name: str, recursive: str | None = None) -> JsonObject:
    """List a tree by its sha, or that of a commit or branch; with recursive, all below it."""
    commit = await access.bare.commit_sha(name)
    if commit is None and not SHA.fullmatch(name):
        raise NotFound
    try:
        entries = await access.bare.tree(commit or name, "", recursive=recursive is not None)
    except GitError as error:
        raise NotFound from error
    url = Views(access.base_url).repository_url(access.repository)
    listed = []
    for entry in entries:
        shown: JsonObject = {"path": entry.path, "mode": entry.mode, "type": entry.type, "sha": entry.sha}
        shown["url"] = f"{url}/git/{entry.type}s/{entry.sha}"
        listed.append({**shown, "size": entry.size} if entry.type == "blob" else shown)
    return {"sha": commit or name, "url": f"{url}/git/trees/{name}", "tree": listed, "truncated": False}


@router.get("/repos/{owner}/{repo}/git/blobs/{sha}")
async def get_blob(access: ReadContents, sha: str) -> JsonObject:
    """Show a blob."""
    if not SHA.fullmatch(sha):
        raise NotFound
    try:
        data = await access.bare.blob(sha)
    except GitError as error:
        raise NotFound from error
    content = base64.encodebytes(data).decode()
    return {"sha": sha, "size": len(data), "encoding": "base64", "content": content}
