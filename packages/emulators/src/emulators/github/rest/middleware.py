"""What every REST answer has: rate-limit headers, a request id, and ETags with 304 for JSON that did not change."""

import hashlib
import math
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulators.github.models import Clock
from emulators.github.rest.errors import DOCUMENTATION

LIMIT = 5000
WINDOW_SECONDS = 3600


@dataclass
class RateWindow:
    """One caller's hour."""

    reset: int
    used: int = 0

    def headers(self) -> dict[str, str]:
        """Return the x-ratelimit headers."""
        return {
            "x-ratelimit-limit": str(LIMIT),
            "x-ratelimit-remaining": str(max(0, LIMIT - self.used)),
            "x-ratelimit-used": str(self.used),
            "x-ratelimit-reset": str(self.reset),
            "x-ratelimit-resource": "core",
        }


@dataclass
class RateLimits:
    """Counts requests per credential; forgets at a restart, as a new hour would."""

    clock: Clock
    windows: dict[str, RateWindow] = field(default_factory=dict)

    def window(self, authorization: str) -> RateWindow:
        """Return the current window of a caller."""
        caller = hashlib.sha256(authorization.encode()).hexdigest()
        known = self.windows.get(caller)
        if known is None or known.reset <= self.clock():
            if len(self.windows) > 10_000:
                self.windows.clear()
            known = RateWindow(math.ceil(self.clock()) + WINDOW_SECONDS)
            self.windows[caller] = known
        return known


class RestHeaders:
    """Pure ASGI wrapper of the REST application."""

    def __init__(self, app: ASGIApp, limits: RateLimits) -> None:
        self._app = app
        self._limits = limits
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        window = self._limits.window(headers.get("authorization", ""))
        if scope["path"] != "/rate_limit":
            window.used += 1
        self._requests += 1
        answer = _Answer(
            window,
            f"E{self._requests:07d}",
            send,
            headers.get("if-none-match") if scope["method"] == "GET" else None,
            scope["method"] == "GET",
        )
        if window.used > LIMIT:
            await answer.refuse()
            return
        await self._app(scope, receive, answer.send)


class _Answer:
    """Holds back a JSON answer to a GET until its ETag is known; passes everything else through."""

    def __init__(
        self, window: RateWindow, request_id: str, send: Send, if_none_match: str | None, is_get: bool
    ) -> None:
        self._window = window
        self._request_id = request_id
        self._send = send
        self._if_none_match = if_none_match
        self._is_get = is_get
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish()

    async def refuse(self) -> None:
        body = f'{{"message":"API rate limit exceeded","documentation_url":"{DOCUMENTATION}"}}'.encode()
        headers = [(b"content-type", b"application/json; charset=utf-8")]
        await self._begin({"type": "http.response.start", "status": 403, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def _begin(self, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in self._window.headers().items():
            headers[name] = value
        headers["x-github-request-id"] = self._request_id
        headers["x-github-media-type"] = "github.v3; format=json"
        if headers.get("content-type") == "application/json":
            headers["content-type"] = "application/json; charset=utf-8"
            if self._is_get and message["status"] == 200:
                self._start = message
                return
        await self._send(message)

    async def _finish(self) -> None:
        assert self._start is not None
        headers = MutableHeaders(scope=self._start)
        etag = f'W/"{hashlib.sha256(self._body).hexdigest()}"'
        headers["etag"] = etag
        headers["cache-control"] = "private, max-age=60, s-maxage=60"
        known = {part.strip().removeprefix("W/") for part in (self._if_none_match or "").split(",")}
        if etag.removeprefix("W/") in known:
            self._window.used -= 1
            headers["x-ratelimit-used"] = str(self._window.used)
            headers["x-ratelimit-remaining"] = str(max(0, LIMIT - self._window.used))
            del headers["content-length"]
            self._start["status"] = 304
            self._body = b""
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": self._body})
