"""Faults on demand around a small application."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulators.faults import FaultMiddleware


class Counter:
    def __init__(self) -> None:
        self.bodies: list[str] = []

    async def count(self, request: Request) -> Response:
        self.bodies.append((await request.body()).decode())
        return JSONResponse({"calls": len(self.bodies)})


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
async def client(counter: Counter) -> AsyncIterator[httpx.AsyncClient]:
    app = FaultMiddleware(Starlette(routes=[Route("/{path:path}", counter.count, methods=["GET", "POST"])]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as opened:
        yield opened


async def test_livez_answers_without_reaching_the_application(client: httpx.AsyncClient, counter: Counter) -> None:
    assert (await client.get("/livez")).status_code == 200
    assert counter.bodies == []


async def test_a_status_fault_is_used_up_by_the_requests_it_matches(
    client: httpx.AsyncClient, counter: Counter
) -> None:
    fault = {
        "match": {"method": "POST", "path": "/a$"},
        "kind": "status",
        "status": 429,
        "body": {"why": "slow down"},
        "headers": {"retry-after": "3"},
        "times": 2,
    }
    assert (await client.post("/_emulator/faults", json=fault)).status_code == 201

    assert (await client.get("/a")).status_code == 200
    assert (await client.post("/b")).status_code == 200
    first = await client.post("/a")
    assert (first.status_code, first.headers["retry-after"], first.json()) == (429, "3", {"why": "slow down"})
    assert (await client.post("/a")).status_code == 429
    assert (await client.post("/a")).status_code == 200
    assert len(counter.bodies) == 3


async def test_skip_lets_the_first_matching_requests_pass(client: httpx.AsyncClient) -> None:
    await client.post("/_emulator/faults", json=[{"kind": "status", "status": 503, "skip": 1}])
    assert [(await client.get("/x")).status_code for _ in range(3)] == [200, 503, 200]


async def test_a_duplicate_reaches_the_application_twice_with_the_same_body(
    client: httpx.AsyncClient, counter: Counter
) -> None:
    await client.post("/_emulator/faults", json={"kind": "duplicate"})
    response = await client.post("/x", content="once")
    assert response.json() == {"calls": 2}
    assert counter.bodies == ["once", "once"]


async def test_a_delay_is_served_after_the_given_time(client: httpx.AsyncClient) -> None:
    await client.post("/_emulator/faults", json={"kind": "delay", "delay_seconds": 0.05})
    assert (await client.get("/x")).status_code == 200
    [record] = (await client.get("/_emulator/requests")).json()
    assert record["fault"] == "delay"
    assert record["duration_ms"] >= 50


@pytest.mark.parametrize(
    ("fault", "named"),
    [({"kind": "explode"}, "kind"), ({"kind": "status", "statsu": 500}, "statsu"), ({}, "kind")],
)
async def test_an_unusable_fault_is_refused_by_naming_the_field(
    client: httpx.AsyncClient, fault: dict[str, object], named: str
) -> None:
    response = await client.post("/_emulator/faults", json=fault)
    assert response.status_code == 422
    assert named in response.text


async def test_a_broken_path_pattern_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/_emulator/faults", json={"kind": "cut", "match": {"path": "("}})
    assert response.status_code == 422
    assert "regular expression" in response.text


async def test_queued_faults_are_listed_and_dropped(client: httpx.AsyncClient) -> None:
    await client.post("/_emulator/faults", json={"kind": "status"})
    assert len((await client.get("/_emulator/faults")).json()) == 1
    assert (await client.delete("/_emulator/faults")).json() == []
    assert (await client.get("/x")).status_code == 200


async def test_requests_are_listed_in_order_and_control_calls_are_not(client: httpx.AsyncClient) -> None:
    await client.get("/one?q=1")
    await client.post("/two")
    records = (await client.get("/_emulator/requests")).json()
    assert [(record["method"], record["path"], record["query"]) for record in records] == [
        ("GET", "/one", "q=1"),
        ("POST", "/two", ""),
    ]
    later = (await client.get("/_emulator/requests", params={"after": records[0]["id"]})).json()
    assert [record["path"] for record in later] == ["/two"]
    assert (await client.get("/_emulator/requests?after=x")).status_code == 422


async def test_a_bot_token_never_reaches_the_log(client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]) -> None:
    await client.post("/_emulator/faults", json={"kind": "status", "status": 401})
    await client.get("/bot123:SECRET/getMe")
    logged = capsys.readouterr().err
    assert "/bot***/getMe" in logged
    assert "SECRET" not in logged
