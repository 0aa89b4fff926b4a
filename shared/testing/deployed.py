"""Services as they are deployed, seen from outside: containers where there are some, else processes.

With TEST_STACK the services, their stores and neighbours are containers of that compose project. Without it, stores
come from wheels and the services are processes with the same command.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import httpx
import pytest

from shared.testing.api_process import ServerProcess, running, service_token
from shared.testing.containers import ContainerDeployment
from shared.testing.logs import shown_on_failure
from shared.testing.settings import StackSettings

CONTAINER_PORT = 8080


class Deployed(Protocol):
    """A running service: asked to end, killed, started again."""

    base_url: str

    async def start(self) -> None: ...
    async def stop(self) -> int: ...
    async def kill(self) -> object: ...


@dataclass(frozen=True)
class Surroundings:
    """What a service under test works with: its stores and the api."""

    redis_url: str
    database_url: str
    api_url: str

    def token(self, name: str = "test") -> str:
        """Return a service's token for the api."""
        return service_token(name)

    def environment(self, service: str) -> dict[str, str]:
        """Return what every service is told."""
        return {"API_URL": self.api_url, "API_TOKEN": self.token(service), "REDIS_URL": self.redis_url}


@asynccontextmanager
async def deployed(
    name: str, module: str, environment: Mapping[str, str], log_path: Path, *, port: int = CONTAINER_PORT
) -> AsyncIterator[Deployed]:
    """Yield the container of this name; where there are none, a process of this module with this environment."""
    stack = StackSettings()
    if stack.stack:
        container = ContainerDeployment(stack, name, port)
        with shown_on_failure(name, container.log):
            try:
                await container.start()
                yield container
            finally:
                await container.leave_running()
        return
    process = ServerProcess(module, environment, log_path=log_path)
    async with running(process, name):
        yield process


@pytest.mark.service
@pytest.mark.timeout(150)
class DeployedContract:
    """What holds of every deployed service. A subclass says what the service is given and what is seen of it.

    Its fixture `service` is the deployed service.
    """

    drained: ClassVar[frozenset[int]] = frozenset({0})

    async def give(self) -> str:
        """Give the service something to do; return by what its effect is known."""
        raise NotImplementedError

    async def see(self, given: str) -> None:
        """Return when the effect is seen from outside."""
        raise NotImplementedError

    async def test_it_says_that_it_lives_and_is_ready(self, service: Deployed) -> None:
        async with httpx.AsyncClient(base_url=service.base_url, timeout=10, trust_env=False) as client:
            assert (await client.get("/livez")).json() == {"status": "ok"}
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["status"]) == (200, "ok"), ready.text
            assert "text/plain" in (await client.get("/metrics")).headers["content-type"]

    async def test_it_does_what_it_is_given(self, service: Deployed) -> None:
        await self.see(await self.give())

    async def test_it_drains_when_it_is_asked_to_end_and_loses_nothing(self, service: Deployed) -> None:
        given = await self.give()
        assert await service.stop() in self.drained
        await service.start()
        await self.see(given)

    async def test_it_comes_back_after_a_kill_and_loses_nothing(self, service: Deployed) -> None:
        given = await self.give()
        await service.kill()
        await service.start()
        await self.see(given)
        await self.see(await self.give())
