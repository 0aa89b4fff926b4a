"""Waiting until a service says that it is ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httpx

POLL_SECONDS = 0.05


async def wait_ready(base_url: str, seconds: float, check_alive: Callable[[], None] = lambda: None) -> None:
    """Return once /readyz answers 200; `check_alive` raises when there is nothing left to wait for."""
    deadline = time.monotonic() + seconds
    said = "nothing"
    async with httpx.AsyncClient(base_url=base_url, verify=False, timeout=5, trust_env=False) as client:  # noqa: S501
        while time.monotonic() < deadline:
            check_alive()
            try:
                answer = await client.get("/readyz")
                if answer.status_code == 200:
                    return
                said = answer.text
            except httpx.TransportError as error:
                said = repr(error)
            await asyncio.sleep(POLL_SECONDS)
    raise AssertionError(f"{base_url} was not ready within {seconds} s; last answer: {said}")
