"""The api client: what it sends, when it tries again, what refusals become."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from shared.clients.api import ApiClient
from shared.clients.errors import ApiError, Conflict, Denied, Invalid, NotFound, Unavailable
from shared.clients.http import HttpClient
from shared.contracts.base import correlation
from shared.contracts.dto.accounts import UserUpsert
from shared.contracts.dto.work import ProjectUpdate, RunClaim
from shared.contracts.vocabulary import WaitKind
from shared.testing import FakeApi
from shared.testing.api_scenes import new_project

Answer = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers in turn and remembers what it was asked; the last answer repeats."""

    def __init__(self, *answers: httpx.Response | type[httpx.TransportError]) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, httpx.Response):
            return answer
        raise answer("broken", request=request)

    def client(self, retry_seconds: float = 5.0) -> ApiClient:
        transport = httpx.MockTransport(self)
        return ApiClient("http://api", "token", retry_seconds=retry_seconds, transport=transport)


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    body = {"title": "no", "status": status, "code": code, "detail": "because", "news": 1}
    return httpx.Response(status, json=body, headers=headers)


USER = {"id": "u1", "telegram_id": 5, "name": "Ada", "is_admin": False, "created_at": "2026-01-01T00:00:00Z"}


async def test_a_request_carries_token_key_and_correlation() -> None:
    server = Server(httpx.Response(201, json={**USER, "field_of_tomorrow": 1}))
    async with server.client() as api:
        with correlation("chat-1"):
            user = await api.upsert_user(UserUpsert(telegram_id=5))
    assert user.id == "u1"
    headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer token"
    assert headers["x-correlation-id"] == "chat-1"
    assert len(headers["idempotency-key"]) == 32


async def test_a_repeat_carries_the_same_key() -> None:
    server = Server(httpx.ConnectError, problem(503, "database_unavailable"), httpx.Response(201, json=USER))
    async with server.client() as api:
        await api.upsert_user(UserUpsert(telegram_id=5))
    keys = {request.headers["idempotency-key"] for request in server.requests}
    assert (len(server.requests), len(keys)) == (3, 1)


@pytest.mark.parametrize(
    ("status", "leaf"), [(404, NotFound), (409, Conflict), (401, Denied), (403, Denied), (422, Invalid), (400, Invalid)]
)
async def test_a_refusal_is_final_and_becomes_its_leaf(status: int, leaf: type[ApiError]) -> None:
    server = Server(problem(status, "the_code"))
    async with server.client() as api:
        with pytest.raises(leaf) as refusal:
            await api.get_run("r1")
    assert (refusal.value.api_code, str(refusal.value)) == ("the_code", "because")
    assert len(server.requests) == 1


async def test_an_outage_past_the_budget_is_unavailable() -> None:
    for server in (Server(problem(503, "database_unavailable", **{"Retry-After": "7"})), Server(httpx.ReadTimeout)):
        async with server.client(retry_seconds=0.1) as api:
            with pytest.raises(Unavailable):
                await api.get_run("r1")


async def test_an_answer_of_somebody_in_between_is_understood() -> None:
    server = Server(httpx.Response(502, text="<html>bad gateway</html>"))
    async with server.client(retry_seconds=0) as api:
        with pytest.raises(Unavailable) as outage:
            await api.get_run("r1")
    assert outage.value.api_code == "http_error"


async def test_a_pause_follows_retry_after_and_ends_with_the_budget() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    server = Server(problem(429, "slow_down", **{"Retry-After": "3"}), httpx.Response(200))
    transport = httpx.MockTransport(server)
    async with HttpClient("http://api", transport=transport, sleep=sleep) as client:
        assert (await client.request("GET", "/x")).status_code == 200
    assert pauses == [3.0]


async def test_what_must_not_be_repeated_is_sent_once() -> None:
    server = Server(problem(503, "down"))
    async with HttpClient("http://api", transport=httpx.MockTransport(server)) as client:
        assert (await client.request("POST", "/x", is_repeatable=False)).status_code == 503
    assert len(server.requests) == 1


async def test_every_page_of_a_list_is_read() -> None:
    pages = [
        httpx.Response(200, json=[USER], headers={"Link": '</api/users?after=1>; rel="next"'}),
        httpx.Response(200, json=[{**USER, "id": "u2"}]),
    ]
    server = Server(*pages)
    async with server.client() as api:
        assert [user.id for user in await api.list_users()] == ["u1", "u2"]
    assert server.requests[1].url.query == b"after=1"


async def test_filters_that_are_not_given_are_not_sent() -> None:
    server = Server(httpx.Response(200, json=[]))
    async with server.client() as api:
        await api.list_runs(is_final=False, wait_kind=WaitKind.CHECKS)
    assert dict(server.requests[0].url.params) == {"is_final": "false", "wait_kind": "checks"}


async def test_a_partial_update_sends_what_was_named_and_ids_cannot_leave_their_place() -> None:
    project = await new_project(FakeApi())
    server = Server(httpx.Response(200, text=project.model_dump_json()))
    async with server.client() as api:
        await api.update_project("../tasks/1?x", ProjectUpdate(deployed_url=None))
    assert server.requests[0].content == b'{"deployed_url":null}'
    assert server.requests[0].url.raw_path == b"/api/projects/..%2Ftasks%2F1%3Fx"


async def test_our_own_mistake_is_not_repeated() -> None:
    server = Server(httpx.LocalProtocolError)
    async with server.client() as api:
        with pytest.raises(Unavailable):
            await api.claim_run("r1", RunClaim(owner="me"))
    assert len(server.requests) == 1
