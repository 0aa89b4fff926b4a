"""Whole stacks: one per test module, which says with SETTINGS how it differs; those in one_stack share one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from pathlib import Path, PurePosixPath

import pytest
import pytest_asyncio
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from local_stack.testing import Bench, running_bench

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder their level, and the async ones the event loop the stacks live in."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)
            if pytest_asyncio.is_async_test(item):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


class ByStack(LoadScopeScheduling):
    """Gives all tests of one stack to one process: those of a file, those of a folder below this one."""

    def _split_scope(self, nodeid: str) -> str:
        path = PurePosixPath(nodeid.partition("::")[0])
        return str(path if path.parent.name == HERE.name else path.parent)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByStack:
    return ByStack(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show, before anything else of a failed test, what went wrong in its stack."""
    report = yield
    bench = getattr(item, "funcargs", {}).get("bench")
    if report.when == "call" and report.failed and isinstance(bench, Bench):
        report.sections.insert(0, ("trouble in the stack", "\n".join(bench.trouble())))
    return report


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with running_bench(**getattr(request.module, "SETTINGS", {})) as running:
        yield running
