"""The HTTP side of a process: /livez, /readyz and /metrics in front of the service's own app, on one socket."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.runtime.errors import Category, PlatformError
from shared.runtime.health import Health
from shared.runtime.waiting import wait_or_timeout

GRACE_SECONDS = 3
BACKLOG = 2048
DATE_SECONDS = 1


class PortTaken(PlatformError):
    """The HTTP port is in use or may not be bound."""

    code = "port_taken"
    category = Category.FATAL


class FrontDoor:
    """An ASGI app: answers the three probe paths itself and hands everything else to the mounted app."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self.app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            if path == "/livez":
                return await _answer(send, 200, b'{"status":"ok"}')
            if path == "/readyz":
                is_ready, checks = await self._health.readiness()
                body = {"status": "ok" if is_ready else "unavailable", "checks": checks}
                return await _answer(send, 200 if is_ready else 503, json.dumps(body).encode())
            if path == "/metrics":
                return await _answer(send, 200, self._health.metrics().encode(), b"text/plain; version=0.0.4")
        if self.app is not None:
            return await self.app(scope, receive, send)
        if scope["type"] == "http":
            return await _answer(
                send, 404, b'{"type":"about:blank","title":"Not Found","status":404,"code":"not_found"}'
            )
        return await _refuse(scope, receive, send)


async def _answer(send: Send, status: int, body: bytes, content_type: bytes = b"application/json") -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Close a websocket; answer the lifespan protocol of a process that has no app of its own."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return


class _Server(uvicorn.Server):
    """uvicorn that ends with an event, not with a signal: the service runner owns the signals."""

    def __init__(self, config: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(config)
        self._stop = stop

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Wake for the answers' date only; uvicorn would ask ten times a second whether it should end."""
        while not self._stop.is_set():
            await self.on_tick(0)
            await wait_or_timeout(self._stop, DATE_SECONDS)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol is named so that asyncio turns Nagle off for accepted connections: 40 ms an answer otherwise
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # from here on a client waits for the server instead of being refused
    except OSError as error:
        listener.close()
        raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror}") from error
    listener.set_inheritable(False)
    return listener


async def serve(app: ASGIApp, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve until stop is set, then finish the requests in hand within a few seconds."""
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_SECONDS)
    await _Server(config, stop).serve(sockets=[listener])
