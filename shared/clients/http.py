"""The base of HTTP clients: one connection pool, a correlation header, retries inside a time budget.

It decides when to try again; what an answer means is decided by the client built on it.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

import httpx

from shared.contracts.base import current_correlation_id

CORRELATION_HEADER = "X-Correlation-ID"
RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
QueryValue = str | int | float | bool
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
TRUST_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it has no certificates: every TLS server is refused
_random = secrets.SystemRandom()


def _pause_seconds(tries: int) -> float:
    """Return the pause after `tries` failed tries: doubling, capped, with ±20 % jitter so that clients spread out."""
    pause: float = min(_FIRST_PAUSE_SECONDS * 2 ** (tries - 1), _LONGEST_PAUSE_SECONDS)
    return pause * _random.uniform(0.8, 1.2)


def _retry_after_seconds(response: httpx.Response) -> float | None:
    """Return the server's Retry-After in seconds; dates are not used between our own services."""
    value = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        return None


def trust_for(base_url: str) -> ssl.SSLContext | bool:
    """Return what a client of this address trusts: the host's certificates, nobody's where plain HTTP needs none.

    The certificates take 30 ms to load, for every client anew.
    """
    return base_url.startswith("https://") or TRUST_NOBODY


class HttpClient:
    """Send requests to one base URL; a request that must not be repeated says `is_repeatable=False`."""

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        retry_seconds: float = 30.0,
        timeout_seconds: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._retry_seconds = retry_seconds
        self._sleep = sleep
        self._client = httpx.AsyncClient(
            base_url=self.base_url,
            headers=dict(headers or {}),
            timeout=httpx.Timeout(timeout_seconds, connect=5.0),
            transport=transport,
            verify=trust_for(self.base_url),
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, QueryValue] | None = None,
        content: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        is_repeatable: bool = True,
        timeout_seconds: float | None = None,
    ) -> httpx.Response:
        """Return the answer, or the last failed one when the budget ends; httpx.TransportError when none came."""
        sent_headers = dict(headers or {})
        correlation_id = current_correlation_id()
        if correlation_id is not None:
            sent_headers.setdefault(CORRELATION_HEADER, correlation_id)
        request = self._client.build_request(
            method,
            path,
            params=params or None,
            content=content,
            headers=sent_headers,
            timeout=httpx.USE_CLIENT_DEFAULT if timeout_seconds is None else timeout_seconds,
        )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._retry_seconds if is_repeatable else 0.0)
        tries = 0
        while True:
            tries += 1
            pause = _pause_seconds(tries)
            try:
                response = await self._client.send(request)
            except (httpx.LocalProtocolError, httpx.UnsupportedProtocol):
                raise  # our own mistake, the same each time
            except httpx.TransportError:
                if loop.time() + pause > deadline:
                    raise
            else:
                if response.status_code not in RETRIED_STATUSES:
                    return response
                pause = max(pause, _retry_after_seconds(response) or 0.0)
                if loop.time() + pause > deadline:
                    return response
            await self._sleep(pause)
