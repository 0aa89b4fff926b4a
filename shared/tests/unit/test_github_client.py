"""The GitHub client against written-out answers: tokens, budgets, retries, adoption, errors."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import jwt
import pytest
import respx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from nacl.public import PrivateKey, SealedBox
from pydantic import SecretStr

from shared.clients.github.auth import AppCredentials
from shared.clients.github.budget import OWN_HOURLY_LIMIT, RequestBudget
from shared.clients.github.client import GitHubClient
from shared.clients.github.errors import (
    GitHubConflict,
    GitHubError,
    GitHubInvalid,
    GitHubNotFound,
    GitHubPermissionDenied,
    GitHubUnauthorized,
    GitHubUnavailable,
    MergeRefused,
    RateLimitExceeded,
)
from shared.clients.github.repositories import seal
from shared.testing.clock import FakeClock

API = "https://github.test"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
REPOSITORY = {
    "id": 7,
    "name": "birds",
    "full_name": "acme/birds",
    "private": True,
    "default_branch": "main",
    "clone_url": f"{API}/acme/birds.git",
    "html_url": f"{API}/acme/birds",
    "a_field_of_next_year": 1,
}


def pull(number: int = 1, **changed: object) -> dict[str, object]:
    return {
        "number": number,
        "state": "open",
        "title": "t",
        "html_url": f"{API}/acme/birds/pull/{number}",
        "head": {"ref": "run/1", "sha": "abc"},
        "base": {"ref": "main", "sha": "def"},
        "merge_commit_sha": None,
        **changed,
    }


class QuickClock(FakeClock):
    """Passes the time of every sleep at once and notes it."""

    def __init__(self) -> None:
        super().__init__(NOW)
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def clock() -> QuickClock:
    return QuickClock()


@pytest.fixture
async def client(key: rsa.RSAPrivateKey, clock: QuickClock) -> AsyncIterator[GitHubClient]:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    github = GitHubClient(AppCredentials("4711", SecretStr(pem)), api_url=API, clock=clock)
    yield github
    await github.aclose()


@pytest.fixture
def api(clock: QuickClock) -> Iterator[respx.MockRouter]:
    """A GitHub on which the App is installed for the organisation acme; tokens live an hour."""
    with respx.mock(base_url=API, assert_all_called=False) as router:
        installation = {"id": 42, "account": {"login": "acme", "type": "Organization"}}
        router.get("/orgs/acme/installation", name="installation").respond(json=installation)
        issued = iter(range(1, 1000))

        def token(_: httpx.Request) -> httpx.Response:
            expires = (clock.now() + timedelta(hours=1)).isoformat()
            return httpx.Response(201, json={"token": f"ghs_{next(issued)}", "expires_at": expires})

        router.post("/app/installations/42/access_tokens", name="token").mock(side_effect=token)
        yield router


def answers(api: respx.MockRouter, method: str, path: str, *given: httpx.Response | Exception) -> respx.Route:
    """Answer a call below /repos/acme/birds with each of these in turn."""
    return api.route(method=method, path=f"/repos/acme/birds{path}").mock(side_effect=list(given))


def ok(body: object = REPOSITORY, status: int = 200, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers=named)


def authorization(route: respx.Route, index: int = 0) -> str:
    header: str = route.calls[index].request.headers["authorization"]
    return header.removeprefix("Bearer ")


async def test_the_app_signs_a_short_lived_token(
    client: GitHubClient, api: respx.MockRouter, key: rsa.RSAPrivateKey
) -> None:
    answers(api, "GET", "", ok())
    await client.get_repository("acme/birds")
    encoded = authorization(api.routes["installation"])
    claims = jwt.decode(encoded, key.public_key(), algorithms=["RS256"], options={"verify_exp": False})
    assert claims["iss"] == "4711"
    assert claims["iat"] == NOW.timestamp() - 60
    assert NOW.timestamp() < claims["exp"] <= claims["iat"] + 600


async def test_a_token_is_used_until_five_minutes_before_its_end(
    client: GitHubClient, api: respx.MockRouter, clock: QuickClock
) -> None:
    route = answers(api, "GET", "", ok(), ok(), ok())
    await client.get_repository("acme/birds")
    clock.advance(54 * 60)
    await client.get_repository("acme/birds")
    clock.advance(2 * 60)
    await client.get_repository("acme/birds")
    assert [authorization(route, index) for index in range(3)] == ["ghs_1", "ghs_1", "ghs_2"]
    assert api.routes["installation"].call_count == 1


async def test_callers_at_the_same_time_share_one_token_request(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "GET", "", *[ok() for _ in range(20)])
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(client.get_repository("acme/birds"))
    assert api.routes["token"].call_count == 1


async def test_a_repository_token_is_limited_to_it(client: GitHubClient, api: respx.MockRouter) -> None:
    first = await client.repository_token("acme/birds", {"contents": "write"})
    again = await client.repository_token("acme/birds", {"contents": "write"})
    other = await client.repository_token("acme/trees", {"contents": "write"})
    assert first == again != other
    body = json.loads(api.routes["token"].calls[0].request.content)
    assert body == {"repositories": ["birds"], "permissions": {"contents": "write"}}


async def test_a_token_github_forgot_is_replaced_once(client: GitHubClient, api: respx.MockRouter) -> None:
    route = answers(api, "GET", "", ok({}, 401), ok())
    await client.get_repository("acme/birds")
    assert [authorization(route, index) for index in range(2)] == ["ghs_1", "ghs_2"]


async def test_refused_credentials_are_fatal(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "GET", "", ok({}, 401), ok({"message": "Bad credentials"}, 401))
    with pytest.raises(GitHubUnauthorized, match="Bad credentials"):
        await client.get_repository("acme/birds")


async def test_an_owner_without_the_app_is_named(client: GitHubClient, api: respx.MockRouter) -> None:
    for kind in ("orgs", "users"):
        api.get(f"/{kind}/nobody/installation").respond(404, json={"message": "Not Found"})
    with pytest.raises(GitHubUnauthorized, match="not installed for nobody"):
        await client.get_repository("nobody/birds")


@pytest.mark.parametrize(
    ("status", "leaf"),
    [
        (400, GitHubInvalid),
        (403, GitHubPermissionDenied),
        (404, GitHubNotFound),
        (409, GitHubConflict),
        (422, GitHubInvalid),
    ],
)
async def test_a_refusal_is_a_leaf_with_githubs_words(
    client: GitHubClient, api: respx.MockRouter, status: int, leaf: type[GitHubError]
) -> None:
    body = {"message": "No.", "errors": [{"message": "name already exists"}]}
    answers(api, "GET", "", ok(body, status))
    with pytest.raises(leaf, match=r"No\.; name already exists") as caught:
        await client.get_repository("acme/birds")
    assert caught.value.status == status


async def test_an_outage_is_ridden_out(client: GitHubClient, api: respx.MockRouter, clock: QuickClock) -> None:
    route = answers(api, "GET", "", ok({}, 502), httpx.ReadTimeout("slow"), httpx.ConnectError("down"), ok())
    await client.get_repository("acme/birds")
    assert route.call_count == 4
    assert len(clock.slept) == 3
    assert clock.slept == sorted(clock.slept)


async def test_a_long_outage_is_raised(client: GitHubClient, api: respx.MockRouter) -> None:
    route = answers(api, "GET", "", *[ok({}, 503) for _ in range(4)])
    with pytest.raises(GitHubUnavailable) as caught:
        await client.get_repository("acme/birds")
    assert route.call_count == 4
    assert caught.value.status == 503


async def test_a_dispatch_is_never_sent_twice_when_it_may_have_arrived(
    client: GitHubClient, api: respx.MockRouter
) -> None:
    for lost in (httpx.ReadTimeout("slow"), ok({}, 502)):
        route = answers(api, "POST", "/actions/workflows/main.yml/dispatches", lost)
        before = route.call_count
        with pytest.raises(GitHubUnavailable):
            await client.dispatch_workflow("acme/birds", "main.yml", "main", {"app": "birds"})
        assert route.call_count == before + 1


async def test_a_dispatch_that_never_arrived_is_sent_again(client: GitHubClient, api: respx.MockRouter) -> None:
    route = answers(
        api, "POST", "/actions/workflows/main.yml/dispatches", httpx.ConnectError("down"), httpx.Response(204)
    )
    await client.dispatch_workflow("acme/birds", "main.yml", "main", {"app": "birds"})
    assert json.loads(route.calls[1].request.content) == {"ref": "main", "inputs": {"app": "birds"}}


async def test_a_short_secondary_limit_is_waited_for(
    client: GitHubClient, api: respx.MockRouter, clock: QuickClock
) -> None:
    answers(api, "GET", "", ok({"message": "secondary rate limit"}, 403, retry_after="3"), ok())
    await client.get_repository("acme/birds")
    assert clock.slept == [3.0]


async def test_a_long_limit_is_raised_with_its_end_and_nothing_more_is_sent(
    client: GitHubClient, api: respx.MockRouter, clock: QuickClock
) -> None:
    reset = str(int(NOW.timestamp()) + 1800)
    limited = ok({}, 403, x_ratelimit_remaining="0", x_ratelimit_reset=reset)
    route = answers(api, "GET", "", limited, ok())
    for _ in range(2):
        with pytest.raises(RateLimitExceeded) as caught:
            await client.get_repository("acme/birds")
        assert caught.value.reset_at == NOW + timedelta(seconds=1800)
    assert route.call_count == 1
    clock.advance(1801)
    await client.get_repository("acme/birds")


async def test_a_tenth_of_the_limit_is_left_to_others(client: GitHubClient, api: respx.MockRouter) -> None:
    reset = str(int(NOW.timestamp()) + 600)
    headers = {"x_ratelimit_limit": "5000", "x_ratelimit_remaining": "500", "x_ratelimit_reset": reset}
    route = answers(api, "GET", "", ok(REPOSITORY, 200, **headers), ok())
    await client.get_repository("acme/birds")
    with pytest.raises(RateLimitExceeded):
        await client.get_repository("acme/birds")
    assert route.call_count == 1


def test_the_own_budget_ends_and_starts_anew_with_the_hour() -> None:
    budget = RequestBudget()
    for _ in range(OWN_HOURLY_LIMIT):
        budget.spend(NOW)
    with pytest.raises(RateLimitExceeded) as caught:
        budget.spend(NOW + timedelta(minutes=20))
    assert caught.value.retry_after_seconds == 40 * 60
    budget.spend(NOW + timedelta(hours=1))


async def test_an_existing_repository_is_adopted(client: GitHubClient, api: respx.MockRouter) -> None:
    api.post("/orgs/acme/repos").mock(side_effect=[ok(REPOSITORY, 201), ok({}, 422)])
    answers(api, "GET", "", ok())
    created, was_created = await client.create_repository("acme", "birds")
    adopted, again = await client.create_repository("acme", "birds")
    assert (was_created, again) == (True, False)
    assert created == adopted


async def test_a_refused_repository_that_does_not_exist_is_an_error(
    client: GitHubClient, api: respx.MockRouter
) -> None:
    api.post("/orgs/acme/repos").respond(422, json={"message": "name is not allowed"})
    answers(api, "GET", "", ok({}, 404))
    with pytest.raises(GitHubInvalid, match="not allowed"):
        await client.create_repository("acme", "birds")


async def test_an_open_pull_request_is_adopted(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "POST", "/pulls", ok({"message": "Validation Failed"}, 422))
    answers(api, "GET", "/pulls", ok([pull(3, state="closed"), pull(2), pull(9, head={"ref": "x", "sha": "y"})]))
    found = await client.create_pull("acme/birds", "run/1", "main", "t", "b")
    assert found.number == 2


async def test_a_refused_pull_request_without_an_open_one_is_an_error(
    client: GitHubClient, api: respx.MockRouter
) -> None:
    answers(api, "POST", "/pulls", ok({"message": "No commits between main and run/1"}, 422))
    answers(api, "GET", "/pulls", ok([pull(3, state="closed")]))
    with pytest.raises(GitHubInvalid, match="No commits"):
        await client.create_pull("acme/birds", "run/1", "main", "t", "b")


async def test_a_merged_pull_request_is_not_merged_again(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "GET", "/pulls/1", ok(pull(merged=True, state="closed", merge_commit_sha="fed")))
    result = await client.merge_pull("acme/birds", 1, "abc", "t")
    assert (result.sha, result.was_merged_before) == ("fed", True)


async def test_a_merge_whose_answer_was_lost_is_found(client: GitHubClient, api: respx.MockRouter) -> None:
    merged = pull(merged=True, state="closed", merge_commit_sha="fed")
    answers(api, "GET", "/pulls/1", ok(pull()), ok(merged))
    answers(api, "PUT", "/pulls/1/merge", httpx.ReadTimeout("lost"), ok({"message": "already merged"}, 405))
    assert (await client.merge_pull("acme/birds", 1, "abc", "t")).sha == "fed"


async def test_a_refused_merge_says_why(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "GET", "/pulls/1", ok(pull()), ok(pull()))
    answers(api, "PUT", "/pulls/1/merge", ok({"message": "Head branch was modified"}, 409))
    with pytest.raises(MergeRefused, match="Head branch was modified"):
        await client.merge_pull("acme/birds", 1, "abc", "t")


async def test_a_secret_is_sealed_for_the_repository(client: GitHubClient, api: respx.MockRouter) -> None:
    private = PrivateKey.generate()
    public = base64.b64encode(bytes(private.public_key)).decode()
    answers(api, "GET", "/actions/secrets/public-key", ok({"key_id": "k1", "key": public}))
    route = answers(api, "PUT", "/actions/secrets/TOKEN", httpx.Response(201))
    await client.put_secret("acme/birds", "TOKEN", SecretStr("hidden ✓"))
    body = json.loads(route.calls[0].request.content)
    assert body["key_id"] == "k1"
    assert SealedBox(private).decrypt(base64.b64decode(body["encrypted_value"])).decode() == "hidden ✓"


async def test_a_log_is_fetched_from_where_it_lies_without_the_token(
    client: GitHubClient, api: respx.MockRouter
) -> None:
    answers(api, "GET", "/actions/jobs/5/logs", httpx.Response(302, headers={"location": "https://logs.test/5"}))
    stored = api.get("https://logs.test/5").respond(text="one\ntwo\nthree\n")
    assert await client.job_log_tail("acme/birds", 5, 2) == "two\nthree"
    assert "authorization" not in stored.calls[0].request.headers


async def test_all_pages_of_the_checks_are_read(client: GitHubClient, api: respx.MockRouter) -> None:
    def check(number: int) -> dict[str, object]:
        return {"id": number, "name": f"c{number}", "head_sha": "abc", "status": "completed", "conclusion": "success"}

    following = f'<{API}/repos/acme/birds/commits/abc/check-runs?page=2>; rel="next"'
    answers(
        api,
        "GET",
        "/commits/abc/check-runs",
        ok({"check_runs": [check(1)]}, link=following),
        ok({"check_runs": [check(2)]}),
    )
    checks = await client.list_check_runs("acme/birds", "abc")
    assert [found.id for found in checks] == [1, 2]
    assert all(found.is_successful for found in checks)


async def test_an_empty_repository_has_no_branch(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "GET", "/git/ref/heads/main", ok({"message": "Git Repository is empty."}, 409), ok({}, 404))
    assert await client.get_ref("acme/birds", "main") is None
    assert await client.get_ref("acme/birds", "main") is None


async def test_protection_that_is_refused_is_told_not_raised(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "PUT", "/branches/main/protection", ok({"message": "Upgrade"}, 403), ok({}))
    assert await client.protect_branch("acme/birds", "main") is False
    assert await client.protect_branch("acme/birds", "main") is True


async def test_a_branch_that_is_gone_is_deleted(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "DELETE", "/git/refs/heads/run/1", ok({"message": "Reference does not exist"}, 422))
    answers(api, "GET", "/git/ref/heads/run/1", ok({}, 404))
    await client.delete_branch("acme/birds", "run/1")


@pytest.mark.parametrize("name", ["birds", "acme/..", "acme/a/b", "-x/birds", "acme/", "acme/a b", "acme/a?b"])
async def test_what_cannot_be_a_repository_is_never_asked_for(client: GitHubClient, name: str) -> None:
    with pytest.raises(GitHubInvalid):
        await client.get_repository(name)


@pytest.mark.parametrize("path", ["../secrets", "a//b", "", "a/./b"])
async def test_what_cannot_be_a_path_is_never_asked_for(client: GitHubClient, path: str) -> None:
    with pytest.raises(GitHubInvalid):
        await client.get_content("acme/birds", path, "main")


def test_sealing_twice_gives_two_texts() -> None:
    public = base64.b64encode(bytes(PrivateKey.generate().public_key)).decode()
    assert seal(public, SecretStr("x")) != seal(public, SecretStr("x"))
