"""What happens to every request before a route sees it: a correlation id is bound, a body over the limit is refused."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator_api.problems import problem_response
from shared.contracts.base import correlation, new_id
from shared.contracts.dto.problem import Problem

MAX_BODY_BYTES = 1_048_576
CORRELATION_HEADER = "x-correlation-id"
_TOO_LARGE = f"a request body may have at most {MAX_BODY_BYTES} bytes"


class RequestGate:
    """A plain ASGI middleware: it costs no task per request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        correlation_id = headers.get(CORRELATION_HEADER, "")[:200] or new_id()

        async def send_with_correlation(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[CORRELATION_HEADER] = correlation_id
            await send(message)

        with correlation(correlation_id):
            length = headers.get("content-length", "")
            if length.isdigit() and int(length) > MAX_BODY_BYTES:
                problem = Problem(title="Content Too Large", status=413, code="body_too_large", detail=_TOO_LARGE)
                await problem_response(problem)(scope, receive, send_with_correlation)
                return
            await self._app(scope, _counting(receive), send_with_correlation)


def _counting(receive: Receive) -> Receive:
    """Return a receive that refuses a body which grows past the limit without having announced its length."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > MAX_BODY_BYTES:
                raise HTTPException(413, _TOO_LARGE)
        return message

    return counted
