"""The GitHub client: an App's view of GitHub over REST. Composes the verbs; owns the connection pool."""

from __future__ import annotations

import httpx

from shared.clients.github.actions import Actions
from shared.clients.github.auth import AppAuth, AppCredentials
from shared.clients.github.pulls import Pulls
from shared.clients.github.repositories import Repositories
from shared.clients.github.transport import RetryPolicy, Transport
from shared.clients.http import trust_for
from shared.infra import Clock, SystemClock

GITHUB_API_URL = "https://api.github.com"
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)


class GitHubClient(Repositories, Pulls, Actions):
    """Implements the GitHub port for one App and any number of installations."""

    def __init__(
        self,
        credentials: AppCredentials,
        *,
        api_url: str = GITHUB_API_URL,
        clock: Clock | None = None,
        policy: RetryPolicy | None = None,
        http_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=api_url.rstrip("/"),
            timeout=_TIMEOUT,
            headers={"User-Agent": "codegen-orchestrator"},
            transport=http_transport,
            verify=trust_for(api_url),
        )
        used_clock = clock or SystemClock()
        transport = Transport(self._http, used_clock, policy or RetryPolicy())
        super().__init__(AppAuth(credentials, transport, used_clock), transport)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
