"""Files and directories at a ref, and commits of single files."""

import base64
import binascii
import secrets

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from emulators.github.auth import Access, ReadContents, WriteContents
from emulators.github.bare import Identity, TreeEntry
from emulators.github.errors import Conflict, GitError, NotFound, Unprocessable
from emulators.github.models import JsonObject
from emulators.github.services import COMMITTER
from emulators.github.views import Views

router = APIRouter()


class Person(BaseModel):
    """An author or committer given by the caller."""

    name: str
    email: str
    date: str | None = None

    def identity(self) -> Identity:
        """Return it as git wants it."""
        return Identity(self.name, self.email, self.date)


class FileChange(BaseModel):
    """A commit of one file; sha is the blob it replaces."""

    message: str
    content: str | None = None
    sha: str | None = None
    branch: str | None = None
    author: Person | None = None
    committer: Person | None = None


@router.get("/repos/{owner}/{repo}/contents/{path:path}")
@router.get("/repos/{owner}/{repo}/contents")
async def get_contents(access: ReadContents, request: Request, path: str = "", ref: str | None = None) -> Response:
    """Show a file (base64, or raw when asked) or list a directory."""
    sha = await access.bare.commit_sha(ref or access.repository.default_branch)
    if sha is None:
        empty = not await access.bare.refs()
        raise NotFound("This repository is empty." if empty else f"No commit found for the ref {ref}")
    path = path.strip("/")
    entries = await access.bare.tree(sha, path)
    if not entries:
        raise NotFound
    single = len(entries) == 1 and entries[0].path == path and entries[0].type == "blob"
    if not single:
        return JSONResponse([_entry(access, entry, ref or sha) for entry in entries])
    data = await access.bare.blob(entries[0].sha)
    if "raw" in request.headers.get("accept", ""):
        return Response(data, media_type="application/vnd.github.raw+json; charset=utf-8")
    encoded = base64.encodebytes(data).decode()
    return JSONResponse({**_entry(access, entries[0], ref or sha), "encoding": "base64", "content": encoded})


@router.put("/repos/{owner}/{repo}/contents/{path:path}")
async def put_contents(access: WriteContents, path: str, body: FileChange) -> JSONResponse:
    """Create or replace a file in one commit."""
    if body.content is None:
        raise Unprocessable('Invalid request.\n\n"content" wasn\'t supplied.')
    try:
        content = base64.b64decode("".join(body.content.split()), validate=True)
    except binascii.Error as error:
        raise Unprocessable("content is not valid Base64") from error
    existed, sha = await _commit_file(access, path, body, content)
    entry = (await access.bare.tree(sha, path))[0]
    commit = await access.bare.commit(sha)
    views = Views(access.base_url)
    shown = {**views.git_commit(commit, access.repository), "sha": sha}
    answer = {"content": _entry(access, entry, sha), "commit": shown}
    return JSONResponse(answer, 200 if existed else 201)


@router.delete("/repos/{owner}/{repo}/contents/{path:path}")
async def delete_contents(access: WriteContents, path: str, body: FileChange) -> JsonObject:
    """Delete a file in one commit."""
    _, sha = await _commit_file(access, path, body, None)
    commit = await access.bare.commit(sha)
    return {"content": None, "commit": {**Views(access.base_url).git_commit(commit, access.repository), "sha": sha}}


async def _commit_file(access: Access, path: str, body: FileChange, content: bytes | None) -> tuple[bool, str]:
    if not path or any(part in ("", ".", "..", ".git") for part in path.split("/")):
        raise Unprocessable("path contains a malformed path component")
    bare, branch = access.bare, body.branch or access.repository.default_branch
    ref = f"refs/heads/{branch}"
    parent = await bare.commit_sha(ref)
    if parent is None and await bare.refs():
        raise NotFound(f"Branch {branch} not found")
    existing = [] if parent is None else await bare.tree(parent, path)
    _check_sha(existing, body.sha, path, content)
    author = body.author.identity() if body.author else access.services.bot
    committer = body.committer.identity() if body.committer else (body.author.identity() if body.author else COMMITTER)
    index = bare.path / f"index.{secrets.token_hex(8)}"
    try:
        tree = await bare.tree_with(parent, path, content, index)
        message = body.message if body.message.endswith("\n") else f"{body.message}\n"
        sha = await bare.commit_tree(tree, () if parent is None else (parent,), message, author, committer)
        await bare.update_ref(ref, sha, parent or "0" * 40)
    except GitError as error:
        raise Conflict(f"{branch} was changed meanwhile: {error.stderr.strip()}") from error
    await access.services.events.refs_changed(access.place)
    return bool(existing), sha


def _check_sha(existing: list[TreeEntry], sha: str | None, path: str, content: bytes | None) -> None:
    if not existing:
        if content is None:
            raise NotFound
        return
    if sha is None:
        raise Unprocessable('Invalid request.\n\n"sha" wasn\'t supplied.')
    if existing[0].sha != sha:
        raise Conflict(f"{path} does not match {sha}")


def _entry(access: Access, entry: TreeEntry, ref: str) -> JsonObject:
    views = Views(access.base_url)
    url = f"{views.repository_url(access.repository)}/contents/{entry.path}?ref={ref}"
    git = f"{views.repository_url(access.repository)}/git/{entry.type}s/{entry.sha}"
    html = f"{access.base_url}/{access.repository.full_name}/blob/{ref}/{entry.path}"
    return {
        "type": {"tree": "dir", "blob": "symlink" if entry.mode == "120000" else "file"}.get(entry.type, "submodule"),
        "name": entry.path.rpartition("/")[2],
        "path": entry.path,
        "sha": entry.sha,
        "size": entry.size,
        "url": url,
        "git_url": git,
        "html_url": html,
        "download_url": f"{access.base_url}/{access.repository.full_name}/raw/{ref}/{entry.path}",
        "_links": {"self": url, "git": git, "html": html},
    }
