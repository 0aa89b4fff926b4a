"""Containers of a compose project, as their operator has them: asked to end, killed, started, their log."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx

from shared.testing.probes import wait_ready
from shared.testing.settings import StackSettings

ENGINE_SECONDS = 60.0
STOP_SECONDS = 20
BACK_SECONDS = 60.0
LOG_LINES = 25
FRAME_HEADER = 8
# The first child of the container's init is the service itself.
KILL = "read -r service others </proc/1/task/1/children; kill -KILL $service"


class Engine:
    """The few calls of the engine that tests make, over its socket."""

    def __init__(self, settings: StackSettings) -> None:
        self._project = settings.stack
        self._socket = settings.engine_socket

    def call(self, method: str, path: str, *, query: dict[str, str] | None = None, body: object = None) -> bytes:
        """Make one call; AssertionError with the engine's words when it is refused."""
        transport = httpx.HTTPTransport(uds=self._socket)
        with httpx.Client(transport=transport, base_url="http://engine", timeout=ENGINE_SECONDS) as client:
            answer = client.request(method, path, params=query, json=body)
        assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.content

    def container(self, service: str) -> str:
        """Return the id of a service's container."""
        labels = [f"com.docker.compose.project={self._project}", f"com.docker.compose.service={service}"]
        query = {"all": "true", "filters": json.dumps({"label": labels})}
        found = json.loads(self.call("GET", "/containers/json", query=query))
        assert len(found) == 1, f"{len(found)} containers of {service} in {self._project}"
        identity: str = found[0]["Id"]
        return identity

    def state(self, container: str) -> dict[str, Any]:
        """Return what the engine says about the container's process."""
        state: dict[str, Any] = json.loads(self.call("GET", f"/containers/{container}/json"))["State"]
        return state

    def log(self, container: str) -> str:
        """Return the last lines."""
        query = {"stdout": "1", "stderr": "1", "tail": str(LOG_LINES)}
        return _without_frames(self.call("GET", f"/containers/{container}/logs", query=query)).decode(errors="replace")

    def run_in(self, container: str, script: str) -> None:
        """Run a shell command in a container."""
        made = json.loads(self.call("POST", f"/containers/{container}/exec", body={"Cmd": ["sh", "-c", script]}))
        self.call("POST", f"/exec/{made['Id']}/start", body={"Detach": True})


def _without_frames(raw: bytes) -> bytes:
    """Join the frames in which the engine sends both outputs of a container."""
    text, position = b"", 0
    while position + FRAME_HEADER <= len(raw):
        size = int.from_bytes(raw[position + 4 : position + FRAME_HEADER], "big")
        text += raw[position + FRAME_HEADER : position + FRAME_HEADER + size]
        position += FRAME_HEADER + size
    return text


class ContainerDeployment:
    """A deployed service: its container, made and supervised by Compose and the engine."""

    def __init__(self, settings: StackSettings, service: str, port: int) -> None:
        self.base_url = f"http://{service}:{port}"
        self._engine = Engine(settings)
        self._id = self._engine.container(service)
        self._is_stopped = False

    async def start(self) -> None:
        """Return when the service is ready; a container that was stopped is started, a killed one has to come back."""
        if self._is_stopped:
            await asyncio.to_thread(self._engine.call, "POST", f"/containers/{self._id}/start")
            self._is_stopped = False
        await wait_ready(self.base_url, BACK_SECONDS)

    async def leave_running(self) -> None:
        """Start what a failed test has stopped, for the next one."""
        if self._is_stopped:
            await self.start()

    async def stop(self) -> int:
        """Ask the service to end; return its exit code."""
        query = {"t": str(STOP_SECONDS)}
        await asyncio.to_thread(self._engine.call, "POST", f"/containers/{self._id}/stop", query=query)
        self._is_stopped = True
        code: int = (await asyncio.to_thread(self._engine.state, self._id))["ExitCode"]
        return code

    async def kill(self) -> None:
        """End the service without a word; return when its supervisor has seen it."""
        before = (await asyncio.to_thread(self._engine.state, self._id))["StartedAt"]
        await asyncio.to_thread(self._engine.run_in, self._id, KILL)
        deadline = time.monotonic() + BACK_SECONDS
        state: dict[str, Any] = {}
        while time.monotonic() < deadline:
            state = await asyncio.to_thread(self._engine.state, self._id)
            if not state["Running"] or state["StartedAt"] != before:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{self.base_url} outlived a kill: {state}")

    def log(self) -> str:
        """Return the last lines of its log."""
        return self._engine.log(self._id)
