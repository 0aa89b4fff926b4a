"""Three ways to answer a Messages API request: from scripts, from the real API, from cassettes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from emulators.anthropic.cassettes import Cassettes, SavedAnswer, usage_in
from emulators.anthropic.conversation import MessagesRequest, TokensRequest, parse_request, read_prompt
from emulators.anthropic.engine import Choice, Engine, Reply, UnmatchedPromptError
from emulators.anthropic.errors import ApiError
from emulators.anthropic.recordings import Outcome, Recordings
from emulators.anthropic.script import Rule
from emulators.anthropic.wire import encode_event, error_body, message_body, message_events, new_message_id
from emulators.faults import CLIENT_LEFT

UPSTREAM_TIMEOUT_SECONDS = 600.0
NOT_FORWARDED = {"host", "content-length", "connection", "accept-encoding", "transfer-encoding"}
GARBAGE = b'event: message_start\ndata: {"type": "mess\xff\xfe<html>502 Bad Gateway</html>\n\n'


class Backend(Protocol):
    """Answers the two endpoints that cost tokens."""

    async def messages(self, request: Request) -> Response:
        """Answer POST /v1/messages. Raises ApiError."""
        ...

    async def count_tokens(self, request: Request) -> Response:
        """Answer POST /v1/messages/count_tokens. Raises ApiError."""
        ...

    def reset(self) -> None:
        """Start again as after a fresh start."""
        ...


class CutStreamError(Exception):
    """Raised inside an answer so that the server breaks the connection."""


class ScriptedBackend:
    """Answers from scripts."""

    def __init__(self, engine: Engine, recordings: Recordings) -> None:
        self.engine = engine
        self._recordings = recordings

    async def messages(self, request: Request) -> Response:
        """Answer with the first rule that fits."""
        parsed = parse_request(MessagesRequest, await request.body())
        prompt = read_prompt(parsed)
        try:
            choice = self.engine.choose(prompt)
        except UnmatchedPromptError:
            self._recordings.add(parsed, prompt, "unmatched")
            raise
        except ApiError:
            self._recordings.add(parsed, prompt, "error")
            raise
        source = (choice.script, choice.rule.name)
        await asyncio.sleep(choice.rule.delay_seconds)
        if choice.rule.delay_seconds and await request.is_disconnected():
            self._recordings.add(parsed, prompt, "abandoned", source=source)
            return Response(status_code=CLIENT_LEFT)
        if choice.reply is None:
            self._recordings.add(parsed, prompt, "garbage" if choice.rule.garbage else "error", source=source)
            return _failure(choice.rule)
        if choice.rule.cut_after_events is not None:
            self._recordings.add(parsed, prompt, "cut", source=source)
            return _cut_answer(choice, choice.reply, choice.rule.cut_after_events, parsed)
        self._recordings.add(parsed, prompt, "answered", source=source, usage=choice.reply.usage)
        return _whole_answer(choice.reply, parsed)

    async def count_tokens(self, request: Request) -> Response:
        """Answer with a quarter of the body's length."""
        body = await request.body()
        parse_request(TokensRequest, body)
        return JSONResponse({"input_tokens": len(body) // 4})

    def reset(self) -> None:
        """Forget counts and captured values."""
        self.engine.reset()


class RecordBackend:
    """Asks the real API and saves what it says."""

    def __init__(self, upstream: str, cassettes: Cassettes, recordings: Recordings) -> None:
        self._upstream = upstream.rstrip("/")
        self._cassettes = cassettes
        self._recordings = recordings

    async def messages(self, request: Request) -> Response:
        """Pass the answer on and save it once it is whole."""
        return await self._pass_on(request, parse_request(MessagesRequest, await request.body()))

    async def count_tokens(self, request: Request) -> Response:
        """Pass the answer on and save it."""
        return await self._pass_on(request, parse_request(TokensRequest, await request.body()))

    async def _pass_on(self, request: Request, parsed: TokensRequest) -> Response:
        client = httpx.AsyncClient(timeout=UPSTREAM_TIMEOUT_SECONDS)
        headers = {name: value for name, value in request.headers.items() if name not in NOT_FORWARDED}
        headers["accept-encoding"] = "identity"
        query = f"?{request.url.query}" if request.url.query else ""
        url = f"{self._upstream}{request.url.path}{query}"
        try:
            outgoing = client.build_request("POST", url, content=await request.body(), headers=headers)
            upstream = await client.send(outgoing, stream=True)
        except httpx.HTTPError as error:
            await client.aclose()
            raise ApiError(502, "api_error", f"the upstream API did not answer: {error!r}") from error
        content_type = upstream.headers.get("content-type", "application/json")

        async def relayed() -> AsyncIterator[bytes]:
            pieces: list[bytes] = []
            try:
                async for piece in upstream.aiter_raw():
                    pieces.append(piece)
                    yield piece
            finally:
                await upstream.aclose()
                await client.aclose()
            body = b"".join(pieces).decode(errors="replace")
            self._keep(
                request.url.path, parsed, SavedAnswer(status=upstream.status_code, content_type=content_type, body=body)
            )

        return StreamingResponse(relayed(), upstream.status_code, headers={"content-type": content_type})

    def _keep(self, path: str, parsed: TokensRequest, answer: SavedAnswer) -> None:
        # An error on a cassette would fail every later replay; the client has seen it, that is enough.
        if answer.status < 400:
            self._cassettes.save(path, parsed, answer)
        if isinstance(parsed, MessagesRequest):
            outcome: Outcome = "recorded" if answer.status < 400 else "error"
            self._recordings.add(parsed, read_prompt(parsed), outcome, usage=usage_in(answer))

    def reset(self) -> None:
        """Do nothing: saved cassettes stay."""


class ReplayBackend:
    """Answers from cassettes."""

    def __init__(self, cassettes: Cassettes, recordings: Recordings) -> None:
        self._cassettes = cassettes
        self._recordings = recordings

    async def messages(self, request: Request) -> Response:
        """Answer with the next saved answer to this request."""
        parsed = parse_request(MessagesRequest, await request.body())
        prompt = read_prompt(parsed)
        try:
            answer = self._cassettes.replay(request.url.path, parsed)
        except ApiError:
            self._recordings.add(parsed, prompt, "unmatched")
            raise
        self._recordings.add(parsed, prompt, "replayed", usage=usage_in(answer))
        return Response(answer.body, answer.status, media_type=answer.content_type)

    async def count_tokens(self, request: Request) -> Response:
        """Answer with the next saved count."""
        parsed = parse_request(TokensRequest, await request.body())
        answer = self._cassettes.replay(request.url.path, parsed)
        return Response(answer.body, answer.status, media_type=answer.content_type)

    def reset(self) -> None:
        """Play from the start again."""
        self._cassettes.rewind()


def _whole_answer(reply: Reply, parsed: MessagesRequest) -> Response:
    message_id = new_message_id()
    if not parsed.stream:
        return JSONResponse(message_body(reply, parsed.model, message_id))

    async def events() -> AsyncIterator[bytes]:
        for event in message_events(reply, parsed.model, message_id):
            yield encode_event(event)

    return _event_stream(events())


def _cut_answer(choice: Choice, reply: Reply, after_events: int, parsed: MessagesRequest) -> Response:
    message_id = new_message_id()
    if not parsed.stream:
        whole = JSONResponse(message_body(reply, parsed.model, message_id))

        async def half() -> AsyncIterator[bytes]:
            yield bytes(whole.body[: len(whole.body) // 2])
            raise CutStreamError(f"rule {choice.rule.name} cuts its answer")

        return StreamingResponse(half(), headers=dict(whole.headers))

    async def events() -> AsyncIterator[bytes]:
        for number, event in enumerate(message_events(reply, parsed.model, message_id)):
            if number == after_events:
                break
            yield encode_event(event)
        if choice.rule.error is None:
            raise CutStreamError(f"rule {choice.rule.name} cuts its answer")
        error = choice.rule.error
        detail = error_body(ApiError(error.status, error.type, error.message), f"req_{message_id}")
        yield encode_event(("error", detail))

    return _event_stream(events())


def _event_stream(events: AsyncIterator[bytes]) -> Response:
    headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    return StreamingResponse(events, headers=headers)


def _failure(rule: Rule) -> Response:
    if rule.error is None:
        return Response(GARBAGE, media_type="text/event-stream")
    raise ApiError(rule.error.status, rule.error.type, rule.error.message, rule.error.headers)
