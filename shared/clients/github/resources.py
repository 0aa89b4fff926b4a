"""What the groups of REST calls share: names checked, requests sent as the owner's installation, pages followed."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

import httpx
from pydantic import SecretStr

from shared.clients.github.auth import AppAuth, TokenScope
from shared.clients.github.errors import GitHubInvalid, GitHubUnauthorized
from shared.clients.github.lane import Lane
from shared.clients.github.transport import Call, Transport

_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")
_OWNER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\Z")
_PAGES = 20


class Resources:
    """Base of the verbs: one lane per installation, a token forgotten and replaced once after a 401."""

    def __init__(self, auth: AppAuth, transport: Transport) -> None:
        self._auth = auth
        self._transport = transport
        self._lanes: dict[str, Lane] = {}

    async def _send(self, owner: str, call: Call) -> httpx.Response:
        scope = TokenScope(owner.lower())

        async def credential() -> SecretStr:
            return await self._auth.token(scope)

        lane = self._lanes.setdefault(scope.owner, Lane())
        try:
            return await self._transport.send(call, credential, lane)
        except GitHubUnauthorized:
            self._auth.forget(scope)
            return await self._transport.send(call, credential, lane)

    async def _repository(self, full_name: str, call: Call) -> httpx.Response:
        """Send a call below /repos/{full_name}."""
        owner, name = split_full_name(full_name)
        path = f"/repos/{owner}/{name}{call.path}"
        return await self._send(owner, Call(call.method, path, call.body, call.query, call.accept, call.is_repeatable))

    async def _pages(self, full_name: str, call: Call) -> list[httpx.Response]:
        """Send a listing and follow its `next` links, up to 20 pages."""
        owner, _ = split_full_name(full_name)
        answers = [await self._repository(full_name, call)]
        while len(answers) < _PAGES and "next" in answers[-1].links:
            following = urlsplit(answers[-1].links["next"]["url"])
            base = urlsplit(str(answers[-1].request.url))
            # The link may name another host (a proxy in between): only its query is believed.
            target = base._replace(query=following.query).geturl()
            answers.append(await self._send(owner, Call("GET", target, accept=call.accept)))
        return answers


def split_full_name(full_name: str) -> tuple[str, str]:
    """Return (owner, name); raises GitHubInvalid for what cannot be a repository's name."""
    owner, _, name = full_name.partition("/")
    if not _OWNER.match(owner) or not _NAME.match(name) or name in (".", ".."):
        raise GitHubInvalid(f"{full_name!r} is not owner/name")
    return owner, name


def in_path(value: str) -> str:
    """Quote a branch or file path for a URL, slashes kept; raises GitHubInvalid for empty and dotted segments."""
    if not value or any(part in ("", ".", "..") for part in value.split("/")):
        raise GitHubInvalid(f"{value!r} is not a path or branch")
    return quote(value, safe="/")


def in_segment(value: str) -> str:
    """Quote a name for one segment of a URL; raises GitHubInvalid for what in_path() refuses and for slashes."""
    if "/" in value:
        raise GitHubInvalid(f"{value!r} is not a name")
    return in_path(value)
