"""git over smart HTTP: checks the token, then streams between the client and `git http-backend`."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from emulators.github.auth import basic_password
from emulators.github.events import Place
from emulators.github.hooks import PERMISSION_VARIABLE
from emulators.github.models import Repository, Token
from emulators.github.services import Services
from emulators.github.settings import git_environment

PATH = re.compile(r"/(?P<owner>[^/]+)/(?P<name>[^/]+?)(?:\.git)?/(?P<rest>info/refs|git-upload-pack|git-receive-pack)")
CHUNK = 65_536
MAX_HEADER_BYTES = 65_536
CONFIG: Mapping[str, str] = {
    "safe.directory": "*",
    "http.receivepack": "true",
    "uploadpack.allowAnySHA1InWant": "true",
    "uploadpack.allowFilter": "true",
    "receive.hideRefs": "refs/pull",
    "receive.autogc": "false",
    "gc.auto": "0",
}


class Refused(Exception):
    """An answer other than git's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class GitRequest:
    """A permitted request."""

    repository: Repository
    token: Token
    rest: str
    pushes: bool


def is_git(path: str) -> bool:
    """Tell whether a path belongs to git rather than to REST."""
    return PATH.fullmatch(path) is not None


@dataclass(frozen=True)
class GitHttp:
    """ASGI application for the git paths."""

    services: Services
    hooks: Path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = self._permit(scope)
        except Refused as refusal:
            headers = {"www-authenticate": 'Basic realm="GitHub"'} if refusal.status == 401 else {}
            await PlainTextResponse(refusal.message, refusal.status, headers)(scope, receive, send)
            return
        await self._serve(request, scope, receive, send)

    def _permit(self, scope: Scope) -> GitRequest:
        match = PATH.fullmatch(scope["path"])
        assert match is not None
        token = self._token(Headers(scope=scope).get("authorization", ""))
        if token is None:
            raise Refused(
                401, "Invalid username or token. Password authentication is not supported for Git operations."
            )
        query = scope["query_string"].decode("latin-1")
        pushes = match["rest"] == "git-receive-pack" or "service=git-receive-pack" in query
        repository = self.services.repositories.find(match["owner"], match["name"])
        if repository is None or not token.sees(repository) or not token.allows("contents", "read"):
            if pushes and repository is not None:
                raise Refused(403, "Write access to repository not granted.")
            raise Refused(404, "Repository not found.")
        if pushes and not token.allows("contents", "write"):
            raise Refused(403, "Write access to repository not granted.")
        return GitRequest(repository, token, match["rest"], match["rest"] == "git-receive-pack")

    def _token(self, authorization: str) -> Token | None:
        scheme, _, value = authorization.partition(" ")
        secret = basic_password(value.strip()) if scheme.lower() == "basic" else value.strip()
        return self.services.tokens.find(secret) if secret else None

    async def _serve(self, request: GitRequest, scope: Scope, receive: Receive, send: Send) -> None:
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            env=self._environment(request, scope),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        feeding = asyncio.create_task(_feed(receive, process))
        try:
            status, headers, rest = await _cgi_head(process.stdout)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            async for chunk in _body(rest, process.stdout):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await process.wait()
        finally:
            feeding.cancel()
            if process.returncode is None:
                process.kill()
                await process.wait()
            if request.pushes:
                await self._pushed(request, scope)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pushed(self, request: GitRequest, scope: Scope) -> None:
        services, server = self.services, scope.get("server") or ("127.0.0.1", 80)
        place = Place(request.repository, services.bare(request.repository), f"http://{server[0]}:{server[1]}")
        await services.events.refs_changed(place, quiet=request.token.quiet)

    def _environment(self, request: GitRequest, scope: Scope) -> dict[str, str]:
        headers = Headers(scope=scope)
        config = {**CONFIG, "core.hooksPath": str(self.hooks)}
        environment = {
            **git_environment(),
            "GIT_PROJECT_ROOT": str(self.services.repository_root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{request.repository.id}.git/{request.rest}",
            "QUERY_STRING": scope["query_string"].decode("latin-1"),
            "REQUEST_METHOD": scope["method"],
            "CONTENT_TYPE": headers.get("content-type", ""),
            "REMOTE_USER": "x-access-token",
            "GIT_HTTP_MAX_REQUEST_BUFFER": "100M",
            "GIT_CONFIG_COUNT": str(len(config)),
            PERMISSION_VARIABLE: "yes" if request.token.allows("workflows", "write") else "no",
        }
        for number, (name, value) in enumerate(config.items()):
            environment[f"GIT_CONFIG_KEY_{number}"] = name
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        for variable, header in (
            ("CONTENT_LENGTH", "content-length"),
            ("HTTP_CONTENT_ENCODING", "content-encoding"),
            ("GIT_PROTOCOL", "git-protocol"),
        ):
            if header in headers:
                environment[variable] = headers[header]
        return environment


async def _feed(receive: Receive, process: asyncio.subprocess.Process) -> None:
    """Pass the request body to git; a client that went away ends it."""
    assert process.stdin is not None
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                if process.returncode is None:
                    process.kill()
                return
            process.stdin.write(message.get("body", b""))
            await process.stdin.drain()
            if not message.get("more_body", False):
                process.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        return  # git has what it needs and closed its end


async def _cgi_head(stdout: asyncio.StreamReader) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    data = b""
    while b"\r\n\r\n" not in data and len(data) < MAX_HEADER_BYTES:
        chunk = await stdout.read(CHUNK)
        if not chunk:
            break
        data += chunk
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        return 500, [], b"git http-backend gave no answer"
    status, headers = 200, []
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        else:
            headers.append((name.lower(), value.strip()))
    return status, headers, rest


async def _body(first: bytes, stdout: asyncio.StreamReader) -> AsyncIterator[bytes]:
    if first:
        yield first
    while chunk := await stdout.read(CHUNK):
        yield chunk
