"""The hourly request budget of one installation: what was sent, what GitHub says is left, when it resets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from shared.clients.github.errors import RateLimitExceeded

GITHUB_HOURLY_LIMIT = 5000
OWN_HOURLY_LIMIT = 4500
WINDOW = timedelta(hours=1)
_RESERVE_SHARE = (GITHUB_HOURLY_LIMIT - OWN_HOURLY_LIMIT) / GITHUB_HOURLY_LIMIT


class RequestBudget:
    """Leaves a tenth of the limit to people; refuses further requests with the time at which the limit resets."""

    def __init__(self, limit: int = OWN_HOURLY_LIMIT) -> None:
        self._limit = limit
        self._used = 0
        self._resets_at: datetime | None = None
        self._blocked_until: datetime | None = None

    def spend(self, now: datetime) -> None:
        """Count one request about to be sent; raises RateLimitExceeded."""
        if self._blocked_until is not None and now < self._blocked_until:
            raise _exceeded(self._blocked_until, now)
        self._blocked_until = None
        if self._resets_at is None or now >= self._resets_at:
            self._resets_at, self._used = now + WINDOW, 0
        if self._used >= self._limit:
            raise _exceeded(self._resets_at, now)
        self._used += 1

    def refund(self) -> None:
        """Take back a request that GitHub does not count: one answered with 304."""
        self._used = max(self._used - 1, 0)

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take over what an answer's rate-limit headers say, if it has any."""
        left, limit, reset = (headers.get(f"x-ratelimit-{name}", "") for name in ("remaining", "limit", "reset"))
        if not (left.isdecimal() and limit.isdecimal() and reset.isdecimal()):
            return
        resets_at = datetime.fromtimestamp(int(reset), UTC)
        if int(left) <= int(limit) * _RESERVE_SHARE:
            self.block(resets_at)

    def block(self, until: datetime) -> None:
        """Send nothing before this time."""
        self._blocked_until = max(until, self._blocked_until or until)


def _exceeded(until: datetime, now: datetime) -> RateLimitExceeded:
    seconds = max((until - now).total_seconds(), 1.0)
    return RateLimitExceeded(
        f"GitHub's request limit is used up until {until:%H:%M:%S} UTC", reset_at=until, retry_after_seconds=seconds
    )
