"""One stack for all modules of this folder, which come in the order of their names."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from local_stack.testing import Bench, running_bench


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bench() -> AsyncIterator[Bench]:
    async with running_bench() as running:
        yield running
