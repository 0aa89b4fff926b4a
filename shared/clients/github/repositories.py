"""Repositories, their branches, files and secrets."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace

from nacl.public import PublicKey as NaclKey
from nacl.public import SealedBox
from pydantic import SecretStr

from shared.clients.github.auth import TokenScope
from shared.clients.github.errors import (
    GitHubConflict,
    GitHubInvalid,
    GitHubNotFound,
    GitHubPermissionDenied,
)
from shared.clients.github.models import FileContent, GitRef, Permission, PublicKey, Repository
from shared.clients.github.reading import read
from shared.clients.github.resources import Resources, in_path, in_segment, split_full_name
from shared.clients.github.transport import Call

_DIFF = "application/vnd.github.diff"
_RAW = "application/vnd.github.raw+json"


def seal(public_key: str, value: SecretStr) -> str:
    """Encrypt a value for a repository's public key (base64), as GitHub wants its secrets: base64 of a sealed box."""
    box = SealedBox(NaclKey(base64.b64decode(public_key)))
    return base64.b64encode(box.encrypt(value.get_secret_value().encode())).decode()


class Repositories(Resources):
    """See shared.clients.github.port for what each method promises."""

    async def get_repository(self, full_name: str) -> Repository:
        return read(Repository, await self._repository(full_name, Call("GET", "")))

    async def create_repository(self, owner: str, name: str, *, private: bool = True) -> tuple[Repository, bool]:
        """Create or adopt; GitHub lets an App create repositories for organisations only."""
        split_full_name(f"{owner}/{name}")
        installation = await self._auth.installation(owner)
        path = f"/orgs/{owner}/repos" if installation.is_of_organization else "/user/repos"
        try:
            response = await self._send(owner, Call("POST", path, {"name": name, "private": private}))
        except GitHubInvalid:
            try:
                return await self.get_repository(f"{owner}/{name}"), False
            except GitHubNotFound:
                pass
            raise
        return read(Repository, response), True

    async def get_ref(self, full_name: str, branch: str) -> str | None:
        try:
            response = await self._repository(full_name, Call("GET", f"/git/ref/heads/{in_path(branch)}"))
        except (GitHubNotFound, GitHubConflict):  # 409: the repository is empty
            return None
        return read(GitRef, response).object.sha

    async def compare_diff(self, full_name: str, base: str, head: str) -> str:
        path = f"/compare/{in_path(base)}...{in_path(head)}"
        return (await self._repository(full_name, Call("GET", path, accept=_DIFF))).text

    async def get_content(self, full_name: str, path: str, ref: str) -> str | None:
        call = Call("GET", f"/contents/{in_path(path)}", query={"ref": ref})
        try:
            response = await self._repository(full_name, call)
            if response.content.startswith(b"["):
                return None  # a directory
            found = read(FileContent, response)
            if found.type != "file":
                return None
            if found.is_whole:
                return found.text
            return (await self._repository(full_name, replace(call, accept=_RAW))).text
        except GitHubNotFound:
            return None

    async def delete_branch(self, full_name: str, branch: str) -> None:
        try:
            await self._repository(full_name, Call("DELETE", f"/git/refs/heads/{in_path(branch)}"))
        except (GitHubNotFound, GitHubInvalid):
            # GitHub answers 422 "Reference does not exist"; any other refusal leaves the branch there.
            if await self.get_ref(full_name, branch) is not None:
                raise

    async def protect_branch(self, full_name: str, branch: str) -> bool:
        body = {
            "required_status_checks": None,
            "enforce_admins": None,
            "required_pull_request_reviews": None,
            "restrictions": None,
            "allow_force_pushes": False,
            "allow_deletions": False,
        }
        try:
            await self._repository(full_name, Call("PUT", f"/branches/{in_path(branch)}/protection", body))
        except (GitHubPermissionDenied, GitHubNotFound, GitHubInvalid):
            return False
        return True

    async def put_secret(self, full_name: str, name: str, value: SecretStr) -> None:
        response = await self._repository(full_name, Call("GET", "/actions/secrets/public-key"))
        key = read(PublicKey, response)
        body = {"encrypted_value": seal(key.key, value), "key_id": key.key_id}
        await self._repository(full_name, Call("PUT", f"/actions/secrets/{in_segment(name)}", body))

    async def repository_token(self, full_name: str, permissions: Mapping[str, str] | None = None) -> SecretStr:
        split_full_name(full_name)
        wanted = {Permission.CONTENTS.value: "write"} if permissions is None else dict(permissions)
        return await self._auth.token(TokenScope.of_repository(full_name, wanted))
