"""One whole stack per test module. A module says with SETTINGS and SCRIPTS how its stack differs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from local_stack.testing import Bench, running_bench

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder their level, and the async ones the event loop their stack lives in."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)
            if pytest_asyncio.is_async_test(item):
                item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """A running stack; what its services logged as an error is printed at the end."""
    settings = getattr(request.module, "SETTINGS", {})
    async with running_bench(getattr(request.module, "SCRIPTS", ()), **settings) as running:
        yield running
        for line in running.trouble():
            print("error in a log:", line)
