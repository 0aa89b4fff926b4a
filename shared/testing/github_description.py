"""GitHub's published OpenAPI description: fetched once through npm, reduced, and asked what fits it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import fcntl
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from pydantic import JsonValue, TypeAdapter

from shared.runtime.npm import NpmPackage, NpmUnavailable, fetch_member
from shared.runtime.settings import find_repository
from shared.testing.openapi import ADDRESS, OpenApi, as_object

PACKAGE = NpmPackage(
    "@octokit/openapi",
    "23.0.2",
    "pV8M7L9GY23AybNvTmo2nyjmpmnt6+2sRE/tqr0ZLQcPS4lnw7u5eZGNmwRNkBC3D7gZXbFx5AHzLUVRBXGDhg==",
    "package/generated/api.github.com.json",
)
# Any operation may end so, whether its part of the description says it or not.
_ANYWHERE = frozenset({400, 401, 403, 404, 422, 429, 500, 502, 503})
# Media types that only the prose of an operation names.
_IN_PROSE = frozenset(
    {
        ("GET /repos/{owner}/{repo}/contents/{path}", "application/vnd.github.raw+json"),
        ("GET /repos/{owner}/{repo}/contents/{path}", "application/vnd.github.raw"),
        ("GET /repos/{owner}/{repo}/commits/{ref}", "application/vnd.github.diff"),
        ("GET /repos/{owner}/{repo}/commits/{ref}", "application/vnd.github.sha"),
        ("GET /repos/{owner}/{repo}/pulls/{pull_number}", "application/vnd.github.diff"),
    }
)
_ERROR = {"$ref": f"{ADDRESS}#/components/schemas/basic-error"}
_FORM = 6  # of the reduced file: raise it when _reduce() changes
_LEFT_OUT = frozenset(
    {
        "description",
        "externalDocs",
        "tags",
        "x-octokit",
        "x-webhooks",
        "x-github",
        "x-github-breaking-changes",
        "discriminator",
    }
)
_NAMED_BY_AUTHORS = frozenset({"properties", "schemas", "parameters", "responses", "examples", "headers", "paths"})
_DOCUMENT: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])


class GitHubDescription:
    """Checks exchanges with GitHub, of this repository's client or of its emulator."""

    def __init__(self, api: OpenApi) -> None:
        self.api = api

    def request_problems(self, request: httpx.Request) -> list[str]:
        """Return what of a request GitHub does not describe."""
        return [*self.api.request_problems(request)]

    def answer_problems(self, request: httpx.Request, response: httpx.Response) -> list[str]:
        """Return what of the answer to a request GitHub does not describe."""
        operation = self.api.operation_of(request)
        if operation is None and response.status_code == 404:
            return []
        if operation is None:
            return [f"{request.method} {request.url.path}: no such operation"]
        if response.status_code == 304 and "if-none-match" in request.headers:
            return []
        if response.status_code in _ANYWHERE and not operation.describes(response.status_code):
            body: JsonValue = response.json() if response.content else {}
            where = f"{operation.name}: {response.status_code}"
            return [f"{where}: {problem}" for problem in self.api.value_problems(_ERROR, body)]
        if (operation.name, request.headers.get("accept", "")) in _IN_PROSE and response.is_success:
            return []
        return [*self.api.answer_problems(operation, request, response)]


def load_description(package: NpmPackage = PACKAGE, folder: Path | None = None) -> GitHubDescription:
    """Return the description, fetching it when this version is not there yet; raises leaves of NpmError."""
    home = folder or find_repository() / ".codegen" / "descriptions"
    reduced = home / f"github-{package.version}-{_FORM}.json"
    if not reduced.exists():
        home.mkdir(parents=True, exist_ok=True)
        with (home / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # test processes side by side fetch it once
            if not reduced.exists():
                _fetch(package, reduced)
    return GitHubDescription(OpenApi(_DOCUMENT.validate_json(reduced.read_bytes())))


def _fetch(package: NpmPackage, reduced: Path) -> None:
    with tempfile.TemporaryDirectory(dir=reduced.parent) as scratch, ThreadPoolExecutor(1) as thread:
        whole, partial = Path(scratch) / "whole.json", Path(scratch) / "reduced.json"
        # In a thread of its own: the caller may or may not have a loop running.
        thread.submit(asyncio.run, fetch_member(package, Path(scratch), whole)).result()
        document = _reduce(_correct(_DOCUMENT.validate_json(whole.read_bytes())))
        partial.write_text(json.dumps(document), encoding="utf-8")
        partial.replace(reduced)


def _correct(document: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Follow the prose where the schemas contradict it.

    `created` takes the search syntax, not one moment; comparing by {base}...{head} is {basehead} under another name;
    an installation's account is a user or an enterprise, never both at once.
    """
    corrected = copy.deepcopy(document)
    parameters = as_object(as_object(corrected["components"])["parameters"])
    _set(parameters["created"], "schema", {"type": "string"})
    paths = as_object(corrected["paths"])
    listed: JsonValue = as_object(paths["/app/installations"])["get"]
    for name in ("responses", "200", "content", "application/json", "schema"):
        listed = as_object(listed)[name]
    _set(listed, "items", {"$ref": "#/components/schemas/installation"})
    corrected["paths"] = {path: methods for path, methods in paths.items() if "{base}...{head}" not in path}
    return corrected


def _set(target: JsonValue, name: str, value: JsonValue) -> None:
    assert isinstance(target, dict), target
    target[name] = value


def _reduce(value: JsonValue, parent: str = "") -> JsonValue:
    """Leave out prose and let references name the description; names that authors chose and examples stay."""
    if isinstance(value, list):
        return [_reduce(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    if parent in _NAMED_BY_AUTHORS:
        return {name: _reduce(entry) for name, entry in value.items()}
    reduced: dict[str, JsonValue] = {}
    for name, entry in value.items():
        if name == "$ref" and isinstance(entry, str):
            reduced[name] = f"{ADDRESS}{entry}"
        elif name == "value":
            reduced[name] = entry
        elif name not in _LEFT_OUT:
            # Several of its choices often fit one value, so each `oneOf` is meant as `anyOf`.
            reduced["anyOf" if name == "oneOf" else name] = _reduce(entry, name)
    choices = reduced.get("anyOf")
    if isinstance(choices, list) and reduced.get("nullable") and "type" not in reduced:
        choices.append({"type": "string", "nullable": True, "enum": [None]})
    words = reduced.get("enum")
    if isinstance(words, list) and reduced.get("nullable") and None not in words:
        words.append(None)  # what may be null is listed without it, as a check run's conclusion before it has one
    return reduced


if __name__ == "__main__":
    # Before tests start side by side; where it cannot be fetched they say so themselves.
    with contextlib.suppress(NpmUnavailable):
        load_description()
