"""The Docker engine's blocking client, called from threads so that nothing here blocks the event loop."""

from __future__ import annotations

import asyncio

import docker
from worker_manager.container_config import CONTAINER_USER


class DockerClientWrapper:
    """Wraps one engine client, taken from the environment when it is constructed."""

    def __init__(self) -> None:
        self._client = docker.from_env()

    async def exec_in_container(
        self, container_id: str, command: str | list[str], user: str = CONTAINER_USER
    ) -> tuple[int, str]:
        """Run a command in a running container; return its exit code and its output, undecodable bytes replaced."""

        def run() -> tuple[int, str]:
            result = self._client.containers.get(container_id).exec_run(command, user=user)
            # Not streamed, so both are there: the engine's client types them for streams and detached runs too.
            output = result.output if isinstance(result.output, bytes) else b""
            return -1 if result.exit_code is None else result.exit_code, output.decode(errors="replace")

        return await asyncio.to_thread(run)

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close)
