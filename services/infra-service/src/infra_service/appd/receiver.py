"""appd over HTTP: routes, the bearer token, uploads. Decides nothing about applications."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from infra_service.appd.daemon import Daemon
from infra_service.appd.errors import AppdError, BadRequest, CannotStart, TooLarge, Unauthorized, UnknownApp
from infra_service.appd.settings import Config

MAX_UPLOAD_BYTES = 200 * 1024 * 1024
DEFAULT_TAIL, MAX_TAIL = 100, 5000
_CHUNK = 256 * 1024
Answer = tuple[int, str, bytes]


class Receiver(ThreadingHTTPServer):
    """The listening socket; each request has a thread."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, daemon: Daemon) -> None:
        super().__init__((daemon.config.host, daemon.config.port), Handler)
        self.daemon = daemon


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Receiver
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        self._serve("GET")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        try:
            answer = self._route(method, url.path, parse_qs(url.query))
        except AppdError as error:
            body = {"error": str(error), "log": error.log}
            answer = (error.status, "application/json", json.dumps(body).encode())
        self._send(*answer)

    def _route(self, method: str, path: str, query: dict[str, list[str]]) -> Answer:
        if (method, path) == ("GET", "/livez"):
            return _json({"status": "ok"})
        self._authorize()
        for wanted, pattern, action in _ROUTES:
            match = pattern.fullmatch(path)
            if match and wanted == method:
                return action(self, match, query)
        raise UnknownApp(f"there is no {method} {path}")

    def _authorize(self) -> None:
        """Compare with the file as it is now: the playbook may have changed the token."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        try:
            wanted = Config.load(self.server.daemon.layout.config).token_sha256
        except CannotStart as error:
            raise AppdError(str(error)) from error
        given = hashlib.sha256(token.strip().encode()).hexdigest()
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, wanted):
            raise Unauthorized("the token is missing or wrong")

    def put_release(self, match: re.Match[str], query: dict[str, list[str]]) -> Answer:
        environment = self._environment()
        port = _number(query, "port", 0)
        with self.server.daemon.incoming() as upload:
            self._receive(upload.write)
            upload.flush()
            return _json(self.server.daemon.deploy(match[1], match[2], port, environment, Path(upload.name)))

    def get_apps(self, match: re.Match[str], query: dict[str, list[str]]) -> Answer:
        return _json(self.server.daemon.apps())

    def restart(self, match: re.Match[str], query: dict[str, list[str]]) -> Answer:
        return _json(self.server.daemon.app(match[1]).restart())

    def get_log(self, match: re.Match[str], query: dict[str, list[str]]) -> Answer:
        lines = min(_number(query, "tail", DEFAULT_TAIL), MAX_TAIL)
        text = self.server.daemon.app(match[1]).tail(lines)
        return 200, "text/plain; charset=utf-8", text.encode()

    def _environment(self) -> dict[str, str]:
        try:
            values = json.loads(base64.b64decode(self.headers.get("X-App-Env", "e30="), validate=True))
        except (binascii.Error, ValueError) as error:
            raise BadRequest("X-App-Env is not base64 of JSON") from error
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise BadRequest("X-App-Env is not an object of texts")
        return values

    def _receive(self, write: Callable[[bytes], object]) -> None:
        given = self.headers.get("Content-Length", "")
        if not given.isdecimal():
            raise BadRequest("Content-Length is missing")
        left = int(given)
        if left > MAX_UPLOAD_BYTES:
            raise TooLarge(f"a release may have {MAX_UPLOAD_BYTES} bytes")
        while left:
            chunk = self.rfile.read(min(left, _CHUNK))
            if not chunk:
                raise BadRequest("the upload broke off")
            write(chunk)
            left -= len(chunk)

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status >= 400:
            # The body of a refused request was not read: the connection cannot be used again.
            self.send_header("Connection", "close")
            self.close_connection = True
        if status == 503:
            self.send_header("Retry-After", "5")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        sys.stderr.write(json.dumps({"event": "request", "text": format % args}) + "\n")


_ROUTES: list[tuple[str, re.Pattern[str], Callable[[Handler, re.Match[str], dict[str, list[str]]], Answer]]] = [
    ("PUT", re.compile(r"/apps/([^/]+)/releases/([^/]+)"), Handler.put_release),
    ("GET", re.compile(r"/apps"), Handler.get_apps),
    ("POST", re.compile(r"/apps/([^/]+)/restart"), Handler.restart),
    ("GET", re.compile(r"/apps/([^/]+)/log"), Handler.get_log),
]


def _json(value: object) -> Answer:
    return 200, "application/json", json.dumps(value).encode()


def _number(query: dict[str, list[str]], name: str, default: int) -> int:
    text = query.get(name, [str(default)])[0]
    if not text.isdecimal():
        raise BadRequest(f"{name} is not a number")
    return int(text)
