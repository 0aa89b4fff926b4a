"""What a process says about itself: readiness checks and metrics sources."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from shared.logging import get_logger
from shared.runtime.errors import PlatformError

CHECK_TIMEOUT_SECONDS = 2.0
log = get_logger(__name__)


class Health:
    """Collects readiness checks and metrics; liveness needs neither."""

    def __init__(self, check_timeout_seconds: float = CHECK_TIMEOUT_SECONDS) -> None:
        self.is_draining = False
        self._timeout_seconds = check_timeout_seconds
        self._checks: dict[str, Callable[[], Awaitable[None]]] = {}
        self._metrics: list[Callable[[], str]] = []

    def add_check(self, name: str, check: Callable[[], Awaitable[None]]) -> None:
        """Let readiness depend on a check that raises when its dependency is not usable."""
        self._checks[name] = check

    def add_metrics(self, render: Callable[[], str]) -> None:
        """Add a source of Prometheus text; the same source is added once."""
        if render not in self._metrics:
            self._metrics.append(render)

    async def readiness(self) -> tuple[bool, dict[str, str]]:
        """Run every check at once; return whether all hold and what each said."""
        names = list(self._checks)
        answers = await asyncio.gather(*(self._run(name) for name in names))
        said = dict(zip(names, answers, strict=True))
        if self.is_draining:
            said["process"] = "draining"
        return all(answer == "ok" for answer in said.values()), said

    def metrics(self) -> str:
        """Return every source's text."""
        return "".join(render() for render in self._metrics)

    async def _run(self, name: str) -> str:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._checks[name]()
        except PlatformError as error:
            return error.code
        except TimeoutError:
            return "timeout"
        except Exception as error:  # noqa: BLE001 - a check supervises foreign code; its failure is the answer
            log.warning("readiness check failed", check=name, error=repr(error))
            return "failed"
        return "ok"
