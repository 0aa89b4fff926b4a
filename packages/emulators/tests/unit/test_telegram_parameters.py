"""A call's parameters are the same, however they were sent."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulators.telegram.errors import BotApiError
from emulators.telegram.params import SendMessage, read_parameters

MARKUP = {"inline_keyboard": [[{"text": "go", "callback_data": "go"}]]}
WANTED = {"chat_id": "7", "text": "hi", "reply_markup": MARKUP}


async def show(request: Request) -> Response:
    try:
        given = await read_parameters(request)
        parsed = given.parse(SendMessage)
    except BotApiError as error:
        return JSONResponse(error.description, error.code)
    uploads = {name: upload.content.decode() for name, upload in given.uploads.items()}
    shown = parsed.model_dump(include={"chat_id", "text", "reply_markup"})
    return JSONResponse(shown | ({"uploads": uploads} if uploads else {}))


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=[Route("/", show, methods=["GET", "POST"])])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as opened:
        yield opened


async def test_query_form_multipart_and_json_mean_the_same(client: httpx.AsyncClient) -> None:
    flat = {"chat_id": "7", "text": "hi", "reply_markup": json.dumps(MARKUP)}
    answers = [
        await client.get("/", params=flat),
        await client.post("/", data=flat),
        await client.post("/", json={"chat_id": 7, "text": "hi", "reply_markup": MARKUP}),
    ]
    assert [answer.json() for answer in answers] == [WANTED] * 3
    with_file = await client.post("/", data=flat, files={"document": ("a.txt", b"abc")})
    assert with_file.json() == {**WANTED, "uploads": {"document": "abc"}}


async def test_what_cannot_be_read_is_refused_by_naming_it(client: httpx.AsyncClient) -> None:
    broken = await client.post("/", data={"chat_id": "7", "text": "hi", "reply_markup": "{"})
    assert (broken.status_code, broken.json()) == (400, "Bad Request: can't parse reply_markup JSON object")
    wrong = await client.post("/", json={"chat_id": 7, "entities": [{"type": "bold"}]})
    assert (wrong.status_code, "entities" in wrong.json()) == (400, True)
    not_json = await client.post("/", content=b"{", headers={"content-type": "application/json"})
    assert not_json.status_code == 400
