"""One stack for all modules of this folder, which come in the order of their names."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from local_stack.testing import Bench, running_bench


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bench() -> AsyncIterator[Bench]:
    """A running stack; what its services logged as an error is printed at the end."""
    async with running_bench() as running:
        yield running
        for line in running.trouble():
            print("error in a log:", line)
