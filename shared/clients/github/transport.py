"""One request to GitHub's REST API: budget, slots, ETags, retries by category, errors as types. Knows no resource."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
from pydantic import JsonValue, SecretStr

from shared.clients.github.errors import (
    GitHubConflict,
    GitHubError,
    GitHubInvalid,
    GitHubNotFound,
    GitHubPermissionDenied,
    GitHubUnauthorized,
    GitHubUnavailable,
    RateLimitExceeded,
)
from shared.clients.github.lane import Lane
from shared.infra import Clock

API_VERSION = "2022-11-28"
DEFAULT_ACCEPT = "application/vnd.github+json"
_DEFAULT_SECONDARY_WAIT_SECONDS = 60.0
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_LEAVES: Mapping[int, type[GitHubError]] = {
    400: GitHubInvalid,
    401: GitHubUnauthorized,
    403: GitHubPermissionDenied,
    404: GitHubNotFound,
    405: GitHubConflict,
    409: GitHubConflict,
    422: GitHubInvalid,
}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a call tries: a wait above `longest_wait_seconds` is left to the caller."""

    attempts: int = 4
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 8.0

    def wait_before(self, attempt: int) -> float:
        """Return the pause before the given attempt (2 is the first repeat), with up to a quarter of jitter."""
        wait = self.first_wait_seconds * 2.0 ** (attempt - 2)
        return min(wait, self.longest_wait_seconds) * (1 + random.uniform(0, 0.25))  # noqa: S311 - jitter, not cryptography


@dataclass(frozen=True, slots=True)
class Call:
    """A request; `is_repeatable` says that sending it twice does no harm (an answer may have been lost)."""

    method: str
    path: str
    body: Mapping[str, JsonValue] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    accept: str = DEFAULT_ACCEPT
    is_repeatable: bool = True


class Transport:
    """Sends calls with a credential asked for anew at each try, so that a refreshed token is used."""

    def __init__(self, http: httpx.AsyncClient, clock: Clock, policy: RetryPolicy) -> None:
        self._http = http
        self._clock = clock
        self._policy = policy

    async def send(self, call: Call, credential: Callable[[], Awaitable[SecretStr]], lane: Lane) -> httpx.Response:
        """Return a 2xx answer; raises a leaf of GitHubError."""
        attempt = 1
        while True:
            try:
                return await self._once(call, credential, lane)
            except GitHubUnavailable as error:
                attempt += 1
                wait = self._wait(error, attempt)
                may_repeat = call.is_repeatable or error.status in (None, 403, 429)
                if wait is None or not may_repeat:
                    raise
            await self._clock.sleep(wait)

    def _wait(self, error: GitHubUnavailable, attempt: int) -> float | None:
        if attempt > self._policy.attempts:
            return None
        wait = self._policy.wait_before(attempt)
        if error.retry_after_seconds is not None:
            if error.retry_after_seconds > self._policy.longest_wait_seconds:
                return None
            wait = max(wait, error.retry_after_seconds)
        return wait

    async def _once(self, call: Call, credential: Callable[[], Awaitable[SecretStr]], lane: Lane) -> httpx.Response:
        async with lane.slots:
            request = self._request(call, await credential())
            known = lane.answers.known(request)
            if known is not None:
                request.headers["If-None-Match"] = known.headers["etag"]
            lane.budget.spend(self._clock.now())
            response = await self._answer(call, request)
        limit = self._limit_of(call, response)
        if limit is not None:
            lane.budget.block(limit.reset_at)
            raise limit
        lane.budget.learn(response.headers)
        if response.status_code == 304 and known is not None:
            lane.budget.refund()
            return known
        if not response.is_success:
            raise _refusal(call, response)
        lane.answers.keep(response)
        return response

    def _request(self, call: Call, secret: SecretStr) -> httpx.Request:
        headers = {
            "Authorization": f"Bearer {secret.get_secret_value()}",
            "Accept": call.accept,
            "X-GitHub-Api-Version": API_VERSION,
        }
        return self._http.build_request(
            call.method, call.path, json=call.body, params=dict(call.query) or None, headers=headers
        )

    async def _answer(self, call: Call, request: httpx.Request) -> httpx.Response:
        try:
            return await self._http.send(request, follow_redirects=call.method == "GET")
        except httpx.TransportError as error:
            # A status of None means that the request certainly was not carried out.
            status = None if isinstance(error, _NEVER_SENT) else 0
            text = f"{call.method} {call.path}: no answer ({type(error).__name__})"
            raise GitHubUnavailable(text, status=status) from error

    def _limit_of(self, call: Call, response: httpx.Response) -> RateLimitExceeded | None:
        """Tell a primary or secondary rate limit from a plain 403."""
        if response.status_code not in (403, 429):
            return None
        headers, now = response.headers, self._clock.now()
        asked = _retry_after(response)
        if asked is not None:
            seconds = asked
        elif headers.get("x-ratelimit-remaining") == "0" and headers.get("x-ratelimit-reset", "").isdecimal():
            seconds = max(int(headers["x-ratelimit-reset"]) - now.timestamp(), 0.0)
        elif response.status_code == 429 or "rate limit" in _message(response).lower():
            seconds = _DEFAULT_SECONDARY_WAIT_SECONDS
        else:
            return None
        return RateLimitExceeded(
            f"{call.method} {call.path}: GitHub asks to come back in {seconds:.0f} s",
            reset_at=now + timedelta(seconds=seconds),
            retry_after_seconds=seconds,
            status=response.status_code,
        )


def _refusal(call: Call, response: httpx.Response) -> GitHubError:
    status = response.status_code
    text = f"{call.method} {call.path}: {status} {_message(response)}".rstrip()
    if status >= 500:
        return GitHubUnavailable(text, status=status, retry_after_seconds=_retry_after(response))
    return _LEAVES.get(status, GitHubInvalid)(text, status=status)


def _retry_after(response: httpx.Response) -> float | None:
    seconds = response.headers.get("retry-after", "")
    return float(seconds) if seconds.isdecimal() else None


def _message(response: httpx.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return response.text[:200]
    if not isinstance(body, dict):
        return ""
    details = [entry.get("message") for entry in body.get("errors") or [] if isinstance(entry, dict)]
    return "; ".join(str(part) for part in [body.get("message"), *details] if part)
