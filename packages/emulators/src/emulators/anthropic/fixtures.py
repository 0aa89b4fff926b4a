"""Runs the Messages API emulator as a child process for the tests of other members."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from emulators.anthropic.recordings import Recording, UsageSum
from emulators.process import EmulatorProcess, running_emulator


@dataclass
class RunningAnthropic:
    """A running emulator and its control endpoints."""

    process: EmulatorProcess
    base_url: str

    async def usage(self) -> UsageSum:
        """Return the summed tokens."""
        return UsageSum.model_validate((await self._request("GET", "usage")).json())

    async def recordings(self, after: int = 0) -> list[Recording]:
        """Return the recorded requests, oldest first."""
        response = await self._request("GET", f"recordings?after={after}")
        return [Recording.model_validate(item) for item in response.json()]

    async def put_script(self, text: str) -> None:
        """Replace all scripts by this one."""
        await self._request("PUT", "script", content=text)

    async def reset(self) -> None:
        """Forget recordings, counts and captured values."""
        await self._request("POST", "reset")

    async def queue_fault(self, fault: object) -> None:
        """Queue one fault or a list of them (see emulators.faults.Fault)."""
        await self._request("POST", "faults", json=fault)

    async def _request(
        self, method: str, path: str, *, content: str | None = None, json: object = None
    ) -> httpx.Response:
        async with httpx.AsyncClient(base_url=f"{self.base_url}/_emulator/", timeout=30) as client:
            response = await client.request(method, path, content=content, json=json)
            if response.is_error:
                raise RuntimeError(f"{method} {path}: {response.status_code} {response.text}")
            return response


@asynccontextmanager
async def running_anthropic(
    state: Path, scripts: Sequence[Path] = (), *, api_key: str | None = None, port: int = 0, options: Sequence[str] = ()
) -> AsyncIterator[RunningAnthropic]:
    """Run the emulator on a free loopback port; `options` are further command line arguments."""
    arguments = [*options]
    for script in scripts:
        arguments += ["--script", str(script)]
    if api_key is not None:
        arguments += ["--api-key", api_key]
    async with running_emulator("anthropic", state, arguments, port=port) as process:
        yield RunningAnthropic(process, process.base_url)
