"""Asks a deployed application how it is. The caller names host and port of an allocated server, never a free URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import httpx

from shared.clients.http import TRUST_NOBODY

_BODY_LIMIT = 65_536


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """What came back; status 0 with `error` when nothing did."""

    status: int
    body: str = ""
    error: str = ""


class Prober(Protocol):
    async def get(self, host: str, port: int, path: str) -> ProbeAnswer:
        """GET http://host:port/path without following redirects; never raises for what the other side does."""

    async def aclose(self) -> None:
        """Close the connections."""


class HttpProber:
    """The prober over httpx: no proxies from the environment, no redirects, at most 64 KiB of body."""

    def __init__(self, *, timeout_seconds: float = 5.0) -> None:
        self._client = httpx.AsyncClient(
            timeout=timeout_seconds, follow_redirects=False, trust_env=False, verify=TRUST_NOBODY
        )

    async def get(self, host: str, port: int, path: str) -> ProbeAnswer:
        url = httpx.URL(scheme="http", host=host, port=port, path=path)
        try:
            async with self._client.stream("GET", url) as response:
                return ProbeAnswer(response.status_code, await _bounded(response))
        except httpx.HTTPError as error:
            return ProbeAnswer(0, error=f"{type(error).__name__} {error}".strip())

    async def aclose(self) -> None:
        await self._client.aclose()


async def _bounded(response: httpx.Response) -> str:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= _BODY_LIMIT:
            break
    return body[:_BODY_LIMIT].decode(errors="replace")


@dataclass(slots=True)
class FakeProber:
    """Answers from a table of (host, port, path); anything else refuses the connection."""

    answers: dict[tuple[str, int, str], ProbeAnswer] = field(default_factory=dict)
    asked: list[tuple[str, int, str]] = field(default_factory=list)

    def serve(self, host: str, port: int, pages: Mapping[str, ProbeAnswer] = MappingProxyType({})) -> None:
        """Make an application answer."""
        self.answers.update({(host, port, path): answer for path, answer in pages.items()})

    async def get(self, host: str, port: int, path: str) -> ProbeAnswer:
        self.asked.append((host, port, path))
        return self.answers.get((host, port, path), ProbeAnswer(0, error="ConnectError refused"))

    async def aclose(self) -> None:
        return None
