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
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from freezegun import freeze_time
from nacl.public import PrivateKey, SealedBox
from pydantic import JsonValue, SecretStr

from shared.clients.github.auth import AppCredentials
from shared.clients.github.budget import OWN_HOURLY_LIMIT, RequestBudget
from shared.clients.github.client import GitHubClient
from shared.clients.github.errors import (
    GitHubError,
    GitHubInvalid,
    GitHubNotFound,
    GitHubPermissionDenied,
    GitHubUnauthorized,
    GitHubUnavailable,
    GitHubUnreadable,
    MergeRefused,
    RateLimitExceeded,
)
from shared.clients.github.lane import MAX_CONCURRENT_REQUESTS, AnswerCache, Lane
from shared.clients.github.repositories import seal
from shared.clients.github.transport import Call, RetryPolicy, Transport
from shared.runtime.errors import Category
from shared.testing.clock import FakeClock
from shared.testing.github_answers import answer
from shared.testing.github_fixtures import WRONG_ON_PURPOSE, Exchanges

# The first to need GitHub's description fetches it.
pytestmark = [pytest.mark.service, pytest.mark.timeout(330)]
API = "https://github.test"
RAW = "application/vnd.github.raw+json"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
REPOSITORY = answer("repository")


def pull(number: int = 1, **changed: JsonValue) -> dict[str, JsonValue]:
    return answer("pull", number=number, **changed)


def ref(name: str, sha: str) -> JsonValue:
    """One side of a pull request."""
    side = answer("pull")["head"]
    assert isinstance(side, dict)
    return {**side, "ref": name, "sha": sha}


MERGED: dict[str, JsonValue] = {
    "merged": True,
    "merged_at": "2026-01-01T00:00:00Z",
    "state": "closed",
    "merge_commit_sha": "fed",
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
def api(clock: QuickClock, github_exchanges: Exchanges) -> Iterator[respx.MockRouter]:
    """A GitHub as published on which the App is installed for the organisation acme; tokens live an hour."""
    with respx.mock(base_url=API, assert_all_called=False) as router:
        router.get("/orgs/acme/installation", name="installation").respond(json=answer("installation"))
        issued = iter(range(1, 1000))

        def token(_: httpx.Request) -> httpx.Response:
            expires = (clock.now() + timedelta(hours=1)).isoformat()
            return httpx.Response(201, json=answer("token", token=f"ghs_{next(issued)}", expires_at=expires))

        router.post("/app/installations/42/access_tokens", name="token").mock(side_effect=token)
        yield router
        for call in router.calls:
            if call.request.url.host == "github.test":
                github_exchanges.note(call.request, call.optional_response)


def answers(api: respx.MockRouter, method: str, path: str, *given: httpx.Response | Exception) -> respx.Route:
    """Answer a call below /repos/acme/birds with each of these in turn."""
    return api.route(method=method, path=f"/repos/acme/birds{path}").mock(side_effect=list(given))


def ok(body: object = REPOSITORY, status: int = 200, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers=named)


def refused(status: int, message: str, *reasons: str) -> httpx.Response:
    """Refuse in GitHub's words."""
    errors: list[JsonValue] = [{"code": "custom", "message": reason} for reason in reasons]
    body: dict[str, JsonValue] = {"message": message, "documentation_url": f"{API}/docs"}
    return ok({**body, "errors": errors} if errors else body, status)


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
    answers(api, "GET", "", ok({}, 401), refused(401, "Bad credentials"))
    with pytest.raises(GitHubUnauthorized, match="Bad credentials"):
        await client.get_repository("acme/birds")


def _another_kind_of_key() -> str:
    kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(*kind).decode()


@pytest.mark.parametrize(
    "pem",
    ["", "no key", "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n", _another_kind_of_key()],
    ids=["nothing", "text", "damaged", "elliptic"],
)
async def test_a_private_key_that_is_none_is_fatal_and_not_shown(api: respx.MockRouter, pem: str) -> None:
    client = GitHubClient(AppCredentials("4711", SecretStr(pem)), api_url=API)
    with pytest.raises(GitHubUnauthorized, match="private key is no RSA key") as caught:
        await client.get_repository("acme/birds")
    await client.aclose()
    assert caught.value.category is Category.FATAL
    assert "MIIE" not in str(caught.value)


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
        (422, GitHubInvalid),
    ],
)
async def test_a_refusal_is_a_leaf_with_githubs_words(
    client: GitHubClient, api: respx.MockRouter, status: int, leaf: type[GitHubError]
) -> None:
    answers(api, "GET", "", refused(status, "No.", "name already exists"))
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
    api.post("/orgs/acme/repos").mock(side_effect=[ok(REPOSITORY, 201), refused(422, "Validation Failed")])
    answers(api, "GET", "", ok())
    created, was_created = await client.create_repository("acme", "birds")
    adopted, again = await client.create_repository("acme", "birds")
    assert (was_created, again) == (True, False)
    assert created == adopted


async def test_a_refused_repository_that_does_not_exist_is_an_error(
    client: GitHubClient, api: respx.MockRouter
) -> None:
    api.post("/orgs/acme/repos").mock(return_value=refused(422, "name is not allowed"))
    answers(api, "GET", "", ok({}, 404))
    with pytest.raises(GitHubInvalid, match="not allowed"):
        await client.create_repository("acme", "birds")


async def test_an_open_pull_request_is_adopted(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "POST", "/pulls", refused(422, "Validation Failed"))
    answers(api, "GET", "/pulls", ok([pull(3, state="closed"), pull(2), pull(9, head=ref("x", "y"))]))
    found = await client.create_pull("acme/birds", "run/1", "main", "t", "b")
    assert found.number == 2


async def test_a_refused_pull_request_without_an_open_one_is_an_error(
    client: GitHubClient, api: respx.MockRouter
) -> None:
    answers(api, "POST", "/pulls", refused(422, "No commits between main and run/1"))
    answers(api, "GET", "/pulls", ok([pull(3, state="closed")]))
    with pytest.raises(GitHubInvalid, match="No commits"):
        await client.create_pull("acme/birds", "run/1", "main", "t", "b")


async def test_a_merged_pull_request_is_not_merged_again(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(
        api,
        "GET",
        "/pulls/1",
        ok({**pull(), **MERGED}),
    )
    result = await client.merge_pull("acme/birds", 1, "abc", "t")
    assert (result.sha, result.was_merged_before) == ("fed", True)


async def test_a_merge_whose_answer_was_lost_is_found(client: GitHubClient, api: respx.MockRouter) -> None:
    merged = {**pull(), **MERGED}
    answers(api, "GET", "/pulls/1", ok(pull()), ok(merged))
    answers(api, "PUT", "/pulls/1/merge", httpx.ReadTimeout("lost"), refused(405, "already merged"))
    assert (await client.merge_pull("acme/birds", 1, "abc", "t")).sha == "fed"


async def test_a_refused_merge_says_why(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "GET", "/pulls/1", ok(pull()), ok(pull()))
    answers(api, "PUT", "/pulls/1/merge", refused(409, "Head branch was modified"))
    with pytest.raises(MergeRefused, match="Head branch was modified"):
        await client.merge_pull("acme/birds", 1, "abc", "t")


async def test_a_secret_is_sealed_for_the_repository(client: GitHubClient, api: respx.MockRouter) -> None:
    private = PrivateKey.generate()
    public = base64.b64encode(bytes(private.public_key)).decode()
    answers(api, "GET", "/actions/secrets/public-key", ok(answer("public_key", key_id="k1", key=public)))
    route = answers(api, "PUT", "/actions/secrets/TOKEN", httpx.Response(201, json={}))
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
    def check(number: int) -> JsonValue:
        return answer("check_run", id=number, name=f"c{number}")

    following = f'<{API}/repos/acme/birds/commits/abc/check-runs?page=2>; rel="next"'
    answers(
        api,
        "GET",
        "/commits/abc/check-runs",
        ok({"total_count": 2, "check_runs": [check(1)]}, link=following),
        ok({"total_count": 2, "check_runs": [check(2)]}),
    )
    checks = await client.list_check_runs("acme/birds", "abc")
    assert [found.id for found in checks] == [1, 2]
    assert all(found.is_successful for found in checks)


async def test_an_empty_repository_has_no_branch(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "GET", "/git/ref/heads/main", refused(409, "Git Repository is empty."), ok({}, 404))
    assert await client.get_ref("acme/birds", "main") is None
    assert await client.get_ref("acme/birds", "main") is None


async def test_protection_that_is_refused_is_told_not_raised(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "PUT", "/branches/main/protection", refused(403, "Upgrade"), ok(answer("protection")))
    assert await client.protect_branch("acme/birds", "main") is False
    assert await client.protect_branch("acme/birds", "main") is True


async def test_a_branch_that_is_gone_is_deleted(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "DELETE", "/git/refs/heads/run/1", refused(422, "Reference does not exist"))
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


async def test_an_answer_that_did_not_change_is_not_sent_again_and_costs_nothing(
    clock: QuickClock, api: respx.MockRouter
) -> None:
    lane = Lane(RequestBudget(limit=3))
    unchanged = [httpx.Response(304) for _ in range(20)]
    route = answers(api, "GET", "", ok(etag='W/"1"'), *unchanged, ok({**REPOSITORY, "id": 8}, etag='W/"2"'), ok())

    async def secret() -> SecretStr:
        return SecretStr("ghs_1")

    async with httpx.AsyncClient(base_url=API) as http:
        transport = Transport(http, clock, RetryPolicy())
        got = [await transport.send(Call("GET", "/repos/acme/birds"), secret, lane) for _ in range(23)]
        with pytest.raises(RateLimitExceeded):
            await transport.send(Call("GET", "/repos/acme/birds"), secret, lane)
    assert [answer.json()["id"] for answer in got] == [REPOSITORY["id"]] * 21 + [8, REPOSITORY["id"]]
    assert [call.request.headers.get("if-none-match") for call in route.calls] == [None, *['W/"1"'] * 21, 'W/"2"']


async def test_only_answers_with_an_etag_are_asked_for_conditionally(
    client: GitHubClient, api: respx.MockRouter
) -> None:
    route = answers(api, "GET", "", ok(etag='"1"'), ok(), ok())
    for _ in range(3):
        await client.get_repository("acme/birds")
    assert [call.request.headers.get("if-none-match") for call in route.calls] == [None, '"1"', None]


def stored(number: int, size: int = 10) -> httpx.Response:
    request = httpx.Request("GET", f"{API}/{number}", headers={"accept": "x"})
    return httpx.Response(200, content=b"x" * size, headers={"etag": f'"{number}"'}, request=request)


def test_the_cache_is_bounded_by_number_and_by_size() -> None:
    few = AnswerCache(max_answers=3)
    for number in range(5):
        few.keep(stored(number))
        few.known(stored(0).request)
    assert [number for number in range(5) if few.known(stored(number).request)] == [0, 3, 4]
    small = AnswerCache(max_bytes=100)
    for number in range(5):
        small.keep(stored(number, 40))
    small.keep(stored(5, 101))
    assert [number for number in range(6) if small.known(stored(number).request)] == [3, 4]


async def test_no_more_than_twenty_requests_are_under_way(client: GitHubClient, api: respx.MockRouter) -> None:
    under_way, most = 0, 0

    async def slow(_: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _turn in range(5):
            await asyncio.sleep(0)
        under_way -= 1
        return ok()

    api.get("/repos/acme/birds").mock(side_effect=slow)
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(client.get_repository("acme/birds"))
    assert most == MAX_CONCURRENT_REQUESTS == 20


async def test_an_outage_that_names_its_end_is_waited_for(
    client: GitHubClient, api: respx.MockRouter, clock: QuickClock
) -> None:
    answers(api, "GET", "", ok({}, 503, retry_after="4"), ok())
    await client.get_repository("acme/birds")
    assert clock.slept == [4.0]
    answers(api, "GET", "", ok({}, 503, retry_after="600"))
    with pytest.raises(GitHubUnavailable) as caught:
        await client.get_repository("acme/birds")
    assert caught.value.retry_after_seconds == 600


async def test_a_secondary_limit_without_a_time_means_a_minute(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "GET", "", refused(403, "You have exceeded a secondary rate limit."))
    with pytest.raises(RateLimitExceeded) as caught:
        await client.get_repository("acme/birds")
    assert caught.value.reset_at == NOW + timedelta(seconds=60)
    assert caught.value.category is Category.UPSTREAM


async def test_a_file_that_is_no_base64_is_an_upstream_error(client: GitHubClient, api: respx.MockRouter) -> None:
    answers(api, "GET", "/contents/a.txt", ok(answer("file", content="a")))
    with pytest.raises(GitHubUnreadable, match="content"):
        await client.get_content("acme/birds", "a.txt", "main")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"id": 7}', b""])
async def test_an_answer_github_does_not_document_is_an_upstream_error(
    client: GitHubClient, api: respx.MockRouter, body: bytes
) -> None:
    answers(api, "GET", "", httpx.Response(200, content=body, headers={WRONG_ON_PURPOSE: "yes"}))
    with pytest.raises(GitHubUnreadable, match="GET /repos/acme/birds: no Repository") as caught:
        await client.get_repository("acme/birds")
    assert caught.value.category is Category.UPSTREAM


async def test_a_file_is_decoded_and_what_is_no_file_is_none(client: GitHubClient, api: respx.MockRouter) -> None:
    folder = [{**answer("file"), "type": "dir"}]
    link = {**answer("file", type="symlink"), "target": "other"}
    content = base64.b64encode("one ✓\n".encode()).decode()
    answers(api, "GET", "/contents/a.txt", ok(answer("file", content=content)), ok(folder), ok(link))
    assert await client.get_content("acme/birds", "a.txt", "main") == "one ✓\n"
    assert await client.get_content("acme/birds", "a.txt", "main") is None
    assert await client.get_content("acme/birds", "a.txt", "main") is None


async def test_a_large_file_is_fetched_raw(client: GitHubClient, api: respx.MockRouter) -> None:
    whole = "line\n" * 300_000
    large = answer("file", encoding="none", content="", size=len(whole))
    raw = httpx.Response(200, text=whole, headers={"content-type": RAW})
    route = answers(api, "GET", "/contents/a.txt", ok(large), raw)
    assert await client.get_content("acme/birds", "a.txt", "main") == whole
    assert route.calls[1].request.headers["accept"] == RAW


async def test_with_the_machines_clock_a_token_is_renewed_in_time(
    key: rsa.RSAPrivateKey, api: respx.MockRouter, clock: QuickClock
) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    client = GitHubClient(AppCredentials("4711", SecretStr(pem)), api_url=API)
    route = answers(api, "GET", "", ok(), ok(), ok())
    for minutes in (0, 54, 56):
        clock.advance((NOW + timedelta(minutes=minutes) - clock.now()).total_seconds())
        with freeze_time(clock.now()):
            await client.get_repository("acme/birds")
    await client.aclose()
    assert [authorization(route, index) for index in range(3)] == ["ghs_1", "ghs_1", "ghs_2"]
    issued = jwt.decode(
        authorization(api.routes["token"], 1), key.public_key(), algorithms=["RS256"], options={"verify_exp": False}
    )
    assert issued["iat"] == (NOW + timedelta(minutes=55)).timestamp()


async def test_each_installation_has_a_budget_of_its_own(client: GitHubClient, api: respx.MockRouter) -> None:
    api.get("/orgs/other/installation").respond(json=answer("installation", id=43))
    expires = (NOW + timedelta(hours=1)).isoformat()
    api.post("/app/installations/43/access_tokens").respond(201, json=answer("token", expires_at=expires))
    answers(api, "GET", "", refused(429, "slow down"))
    api.get("/repos/other/birds").respond(json=REPOSITORY)
    with pytest.raises(RateLimitExceeded):
        await client.get_repository("acme/birds")
    assert (await client.get_repository("other/birds")).name == "birds"
