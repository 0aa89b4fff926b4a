"""When a failed delivery is tried again: delays by category, as a value that tests replace."""

from __future__ import annotations

import random
from dataclasses import dataclass

from shared.runtime.errors import Category


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`delays[n]` seconds pass between delivery n+1 and the next; when none is left the message is dead.

    `max_deliveries` ends what kills its process again and again before any handler can fail.
    """

    transient: tuple[float, ...] = (1.0, 2.0, 4.0)
    upstream: tuple[float, ...] = (5.0, 10.0, 20.0, 60.0)
    jitter_seconds: float = 0.1
    max_deliveries: int = 12

    def delay(self, category: Category, attempt: int, retry_after_seconds: float | None = None) -> float | None:
        """Return the pause after delivery number `attempt` failed, or None when the message is dead.

        A longer pause asked for by the other side is honoured.
        """
        delays = {Category.TRANSIENT: self.transient, Category.UPSTREAM: self.upstream}.get(category, ())
        if attempt > len(delays):
            return None
        spread = random.uniform(-self.jitter_seconds, self.jitter_seconds)  # noqa: S311 - spreads load only
        return max(0.0, delays[attempt - 1] + spread, retry_after_seconds or 0.0)

    @classmethod
    def immediate(cls, *, transient: int = 3, upstream: int = 4) -> RetryPolicy:
        """Return a policy that retries so often without any pause, for tests."""
        return cls((0.0,) * transient, (0.0,) * upstream, jitter_seconds=0.0)
