"""The client and its models against GitHub's published description: no request and no field that it does not name."""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import UnionType
from typing import Union, get_args, get_origin

import httpx
import pytest
import respx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import AwareDatetime, BaseModel, JsonValue, SecretStr

from shared.clients.github import models
from shared.clients.github.auth import AppCredentials
from shared.clients.github.client import GitHubClient
from shared.clients.github.port import GitHub
from shared.runtime.npm import NpmUnavailable, WrongDigest
from shared.testing.clock import FakeClock
from shared.testing.github_answers import answer, answer_names
from shared.testing.github_description import PACKAGE, GitHubDescription, load_description
from shared.testing.github_fixtures import Exchanges
from shared.testing.openapi import JsonObject, as_list, as_object

pytestmark = [pytest.mark.service, pytest.mark.timeout(330)]
API = "https://github.test"
BIRDS = "acme/birds"

CALLS: Mapping[str, Callable[[GitHubClient], Awaitable[object]]] = {
    "get_repository": lambda github: github.get_repository(BIRDS),
    "create_repository": lambda github: github.create_repository("acme", "birds"),
    "get_ref": lambda github: github.get_ref(BIRDS, "run/1"),
    "compare_diff": lambda github: github.compare_diff(BIRDS, "main", "run/1"),
    "get_content": lambda github: github.get_content(BIRDS, "a/b ✓.txt", "main"),
    "delete_branch": lambda github: github.delete_branch(BIRDS, "run/1"),
    "protect_branch": lambda github: github.protect_branch(BIRDS, "release/1"),
    "put_secret": lambda github: github.put_secret(BIRDS, "TOKEN", SecretStr("hidden")),
    "repository_token": lambda github: github.repository_token(BIRDS, {"contents": "write", "workflows": "write"}),
    "create_pull": lambda github: github.create_pull(BIRDS, "run/1", "main", "Add", "body"),
    "get_pull": lambda github: github.get_pull(BIRDS, 1),
    "find_pull": lambda github: github.find_pull(BIRDS, "run/1"),
    "merge_pull": lambda github: github.merge_pull(BIRDS, 1, "6dcb09b5b57875f334f61aebed695e2e4193db5e", "Add"),
    "list_check_runs": lambda github: github.list_check_runs(BIRDS, "abc"),
    "job_log_tail": lambda github: github.job_log_tail(BIRDS, 5),
    "dispatch_workflow": lambda github: github.dispatch_workflow(BIRDS, "ci.yml", "main", {"app": "birds"}),
    "list_workflow_runs": lambda github: github.list_workflow_runs(
        BIRDS, "ci.yml", event="push", head_sha="abc", created=">=2026-01-01"
    ),
    "list_runs_of_commit": lambda github: github.list_runs_of_commit(BIRDS, "abc"),
    "get_workflow_run": lambda github: github.get_workflow_run(BIRDS, 1),
    "workflow_log_tail": lambda github: github.workflow_log_tail(BIRDS, 1),
}
# What each model is read from: an operation, the status of its answer, and the way to the model's part of it.
SOURCES: tuple[tuple[type[BaseModel], str, str, str], ...] = (
    (models.Installation, "GET", "/orgs/a/installation", "200"),
    (models.Installation, "GET", "/users/a/installation", "200"),
    (models.InstallationToken, "POST", "/app/installations/1/access_tokens", "201"),
    (models.Repository, "GET", "/repos/a/b", "200"),
    (models.Repository, "POST", "/orgs/a/repos", "201"),
    (models.Repository, "POST", "/user/repos", "201"),
    (models.GitRef, "GET", "/repos/a/b/git/ref/heads/main", "200"),
    (models.FileContent, "GET", "/repos/a/b/contents/x", "200"),
    (models.PublicKey, "GET", "/repos/a/b/actions/secrets/public-key", "200"),
    (models.Pull, "POST", "/repos/a/b/pulls", "201"),
    (models.Pull, "GET", "/repos/a/b/pulls", "200"),
    (models.Pull, "GET", "/repos/a/b/pulls/1", "200"),
    (models.MergeResult, "PUT", "/repos/a/b/pulls/1/merge", "200"),
    (models.CheckRuns, "GET", "/repos/a/b/commits/abc/check-runs", "200"),
    (models.WorkflowRuns, "GET", "/repos/a/b/actions/workflows/ci.yml/runs", "200"),
    (models.WorkflowRuns, "GET", "/repos/a/b/actions/runs", "200"),
    (models.WorkflowRun, "GET", "/repos/a/b/actions/runs/1", "200"),
    (models.Jobs, "GET", "/repos/a/b/actions/runs/1/jobs", "200"),
)
# Fields of ours that are no field of GitHub's.
OWN_FIELDS = frozenset({"was_merged_before"})
TYPES: Mapping[object, str] = {str: "string", int: "integer", bool: "boolean", AwareDatetime: "string"}
ANSWERS: Mapping[str, str] = {
    "account": "simple-user",
    "repository": "full-repository",
    "installation": "installation",
    "token": "installation-token",
    "git_ref": "git-ref",
    "file": "content-file",
    "protection": "protected-branch",
    "public_key": "actions-public-key",
    "pull": "pull-request",
    "merge": "pull-request-merge-result",
    "check_run": "check-run",
    "workflow_run": "workflow-run",
    "job": "job",
}


def public_methods(kind: type) -> set[str]:
    """Return the names of what a caller may await, except closing."""
    return {name for name, _ in inspect.getmembers(kind, inspect.iscoroutinefunction) if name[0] != "_"} - {"aclose"}


@pytest.fixture(scope="module")
def private_key_pem() -> SecretStr:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return SecretStr(key.private_bytes(*form).decode())


@pytest.fixture
def published(github_description: GitHubDescription) -> Iterator[Exchanges]:
    """A GitHub that answers every request with the example published for it."""
    api, exchanges = github_description.api, Exchanges()

    def respond(request: httpx.Request) -> httpx.Response:
        operation = api.operation_of(request)
        assert operation is not None, f"{request.method} {request.url}"
        wanted = [status for status in as_object(operation.detail["responses"]) if status < "400"]
        status = "204" if "204" in wanted else wanted[0]
        if status == "302":
            response = httpx.Response(302, headers={"location": "https://logs.test/5"})
        elif request.headers["accept"].endswith(".diff"):
            response = httpx.Response(200, text="diff", headers={"content-type": request.headers["accept"]})
        elif operation.template.endswith("/public-key"):  # the published one is no key
            response = httpx.Response(200, json=answer("public_key"))
        elif operation.template.endswith("/contents/{path}"):  # the published one is no base64
            response = httpx.Response(200, json=answer("file"))
        else:
            body = None if status == "204" else api.example(operation, status)
            response = httpx.Response(int(status), json=body) if body is not None else httpx.Response(int(status))
        exchanges.note(request, response)
        return response

    with respx.mock(assert_all_called=False) as router:
        router.get("https://logs.test/5").respond(text="line\n")
        router.route(host="github.test").mock(side_effect=respond)
        yield exchanges


@pytest.fixture
async def client(private_key_pem: SecretStr) -> AsyncIterator[GitHubClient]:
    # The published token ends in July 2016.
    clock = FakeClock(datetime(2016, 7, 11, 21, 30, tzinfo=UTC))
    github = GitHubClient(AppCredentials("4711", private_key_pem), api_url=API, clock=clock)
    yield github
    await github.aclose()


def test_every_public_method_is_called_below() -> None:
    assert set(CALLS) == public_methods(GitHubClient) == public_methods(GitHub)


@pytest.mark.parametrize("method", CALLS)
async def test_a_method_sends_what_is_described_and_reads_what_is_published(
    method: str, client: GitHubClient, published: Exchanges, github_description: GitHubDescription
) -> None:
    await CALLS[method](client)
    sent = [request for request, _ in published.noted if "/installation" not in request.url.path]
    assert sent or method == "repository_token"
    assert [problem for request, _ in published.noted for problem in github_description.request_problems(request)] == []


@pytest.mark.parametrize(("model", "method", "path", "status"), SOURCES)
def test_a_model_reads_nothing_that_may_be_missing_null_or_of_another_type(
    model: type[BaseModel], method: str, path: str, status: str, github_description: GitHubDescription
) -> None:
    api = github_description.api
    operation = api.operation(method, path)
    assert operation is not None
    assert mismatches(github_description, model, api.schema(operation, status)) == []


def test_every_model_is_compared_with_the_description() -> None:
    public = {kind for name, kind in inspect.getmembers(models, inspect.isclass) if not name.startswith("_")}
    own = {kind for kind in public if issubclass(kind, models.GitHubModel)} - {models.GitHubModel}
    compared: set[type[BaseModel]] = set()
    waiting = [source[0] for source in SOURCES]
    while waiting:
        kind = waiting.pop()
        compared.add(kind)
        waiting += [inner for field in kind.model_fields.values() for inner in inner_models(field.annotation)]
    assert own - compared == set()


def test_the_comparison_sees_what_does_not_fit(github_description: GitHubDescription) -> None:
    class Wrong(BaseModel):
        name: str
        number: str
        merged_at: str
        requested_teams: tuple[str, ...]
        a_word_of_mine: int

    schema = github_description.api.component("pull-request")
    found = mismatches(github_description, Wrong, schema)
    assert found == [
        "Wrong.name: not described",
        "Wrong.number: is integer",
        "Wrong.merged_at: may be null",
        "Wrong.requested_teams: may be absent",
        "Wrong.a_word_of_mine: not described",
    ]


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_tests_use_fits_the_description(name: str, github_description: GitHubDescription) -> None:
    api = github_description.api
    assert answer_names() == set(ANSWERS)
    assert [*api.value_problems(api.component(ANSWERS[name]), answer(name))] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "problem"),
    [
        ("GET", "/repos/a/b/nothing", None, "no such operation"),
        ("GET", "/repos/a/b/pulls?state=merged", None, "state"),
        ("GET", "/repos/a/b/pulls?stat=open", None, "stat: no such query parameter"),
        ("GET", "/repos/a/b/pulls/first", None, "pull_number"),
        ("POST", "/repos/a/b/pulls", {"head": "x", "title": "t"}, "'base' is a required property"),
        ("POST", "/repos/a/b/pulls", {"head": "x", "base": "y", "titel": "t"}, "$.titel: no such field"),
        ("PUT", "/repos/a/b/pulls/1/merge", {"merge_method": "force"}, "'force' is not one of"),
        ("POST", "/repos/a/b/pulls", None, "no body"),
        ("DELETE", "/repos/a/b/git/refs/heads/x", {"sha": "y"}, "a body where none is described"),
    ],
)
def test_a_request_that_is_not_described_is_named(
    method: str, path: str, body: JsonValue, problem: str, github_description: GitHubDescription
) -> None:
    request = httpx.Request(method, f"{API}{path}", json=body) if body else httpx.Request(method, f"{API}{path}")
    assert any(problem in found for found in github_description.request_problems(request))


def test_an_answer_that_is_not_described_is_named(github_description: GitHubDescription) -> None:
    request = httpx.Request("GET", f"{API}/repos/a/b", headers={"accept": "application/vnd.github+json"})
    for response, problem in (
        (httpx.Response(200, json={**answer("repository"), "id": "7"}), "$.id"),
        (httpx.Response(200, json={"id": 7}), "'name' is a required property"),
        (httpx.Response(202, json={}), "not among 200"),
        (httpx.Response(200, text="a page"), "text/plain"),
        (httpx.Response(403, json={"message": 7}), "$.message"),
    ):
        assert any(problem in found for found in github_description.answer_problems(request, response)), problem


def test_a_check_that_still_runs_has_no_conclusion(github_description: GitHubDescription) -> None:
    request = httpx.Request("GET", f"{API}/repos/a/b/commits/main/check-runs")
    operation = github_description.api.operation_of(request)
    assert operation is not None
    runs = as_object(github_description.api.example(operation, "200"))
    (run,) = as_list(runs["check_runs"])
    for conclusion, is_described in ((None, True), ("success", True), ("running", False)):
        body = {**runs, "check_runs": [{**as_object(run), "conclusion": conclusion}]}
        found = github_description.answer_problems(request, httpx.Response(200, json=body))
        assert (found == []) is is_described, found


def test_a_description_at_hand_is_read_in_a_moment(github_description: GitHubDescription) -> None:
    start = time.process_time()
    load_description()
    assert time.process_time() - start < 5


def fake_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_description_that_cannot_be_fetched_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path, monkeypatch, "echo 'npm error network is away' >&2; exit 1")
    with pytest.raises(NpmUnavailable, match=rf"{PACKAGE.full_name}: npm error network is away"):
        load_description(folder=tmp_path / "descriptions")


def test_another_description_than_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path, monkeypatch, "echo something > other.tgz")
    with pytest.raises(WrongDigest, match="does not have the pinned digest"):
        load_description(folder=tmp_path / "descriptions")
    assert [path.name for path in (tmp_path / "descriptions").iterdir()] == [".lock"]


def mismatches(description: GitHubDescription, model: type[BaseModel], given: JsonObject) -> list[str]:
    """Return what a model expects of a schema's values that the schema does not promise."""
    schema = description.api.resolve(given)
    if "items" in schema:
        return mismatches(description, model, as_object(schema["items"]))
    choices = [as_object(choice) for key in ("anyOf", "oneOf") for choice in as_list(schema.get(key, []))]
    if choices:
        return min((mismatches(description, model, choice) for choice in choices), key=len)
    found = []
    for name, field in model.model_fields.items():
        if name in OWN_FIELDS:
            continue
        described = as_object(schema.get("properties", {})).get(name)
        where = f"{model.__name__}.{name}"
        if described is None:
            found.append(f"{where}: not described")
        elif field.is_required() and name not in as_list(schema.get("required", [])):
            found.append(f"{where}: may be absent")
        else:
            found += _field_mismatches(description, field.annotation, as_object(described), where)
    return found


def _field_mismatches(description: GitHubDescription, kind: object, given: JsonObject, where: str) -> list[str]:
    schema = description.api.resolve(given)
    if schema.get("nullable") and type(None) not in get_args(kind):
        return [f"{where}: may be null"]
    inner = inner_models(kind)
    if inner:
        return [problem for model in inner for problem in mismatches(description, model, schema)]
    wanted = {TYPES[part] for part in _plain_types(kind) if part in TYPES}
    actual = schema.get("type")
    return [f"{where}: is {actual}"] if wanted and actual is not None and actual not in wanted else []


def inner_models(kind: object) -> list[type[BaseModel]]:
    """Return the models a field's type holds."""
    return [part for part in _plain_types(kind) if isinstance(part, type) and issubclass(part, BaseModel)]


def _plain_types(kind: object) -> list[object]:
    if get_origin(kind) in (Union, UnionType, tuple, list):
        return [plain for part in get_args(kind) for plain in _plain_types(part)]
    return [kind]
