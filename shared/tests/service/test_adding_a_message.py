"""docs/ADDING_A_MESSAGE.md is true: its blocks, put where they say they belong, work on a real Redis."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from shared.runtime.settings import find_repository
from shared.testing.settings import inherited_environment

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]
REPOSITORY = find_repository()
PAGE = REPOSITORY / "docs" / "ADDING_A_MESSAGE.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOPOLOGY = "shared/contracts/topology.py"
ADDED = ("shared/contracts/schemas/report.queue.json", "shared/contracts/schemas/report.results.json")


def blocks() -> Iterator[tuple[str, str]]:
    """Yield each block of the page as (file, text); of a shell block the file is its language."""
    for language, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        named = re.match(r"# (\S+\.py)\n", text)
        yield (named.group(1), text.partition("\n")[2]) if named else (language, text)


class Copy:
    """A copy of what the page builds on, with the page's files in it."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        sources = [str(folder), *(str(path) for path in folder.glob("services/*/src"))]
        self._environment = {
            **inherited_environment(),
            "PYTHONPATH": ":".join(sources),
            "REDIS_URL": redis_url,
            "TEST_REDIS_URL": redis_url,
        }

    async def start(self, *command: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=self.folder,
            env=self._environment,
            stdout=pipe,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, *command: str) -> str:
        process = await self.start(*command)
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()


@pytest.fixture
def copy(tmp_path: Path, redis_url: str) -> Copy:
    leave_out = shutil.ignore_patterns("__pycache__", "tests", "*.egg-info", "build")
    shutil.copytree(REPOSITORY / "shared", tmp_path / "shared", ignore=leave_out)
    (tmp_path / "docs").mkdir()
    for name in ("conftest.py", "pyproject.toml", "docs/CONTRACTS.md"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    for name, text in blocks():
        if name.endswith(".py"):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            before = path.read_text(encoding="utf-8") if name == TOPOLOGY else ""
            assert path.exists() == (name == TOPOLOGY), f"{name} is a part of the repository"
            path.write_text(f"{before}\n{text}" if before else text, encoding="utf-8")
    return Copy(tmp_path, redis_url)


def test_the_page_has_the_blocks_that_are_run() -> None:
    by_name: Mapping[str, str] = dict(blocks())
    assert list(by_name) == [
        "shared/contracts/queues/reports.py",
        TOPOLOGY,
        "sh",
        "services/reporter/src/reporter/consumer.py",
        "services/reporter/src/reporter/__main__.py",
        "services/reporter/tests/service/test_reporter_consumer.py",
        "try_it.py",
    ]
    assert by_name["sh"] == "make docs\n"
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^docs:.*\n\t@\$\(PY\) -m shared\.contracts\.generate$", makefile, re.MULTILINE)


async def test_the_page_makes_a_stream_a_consumer_and_tests_that_pass(copy: Copy) -> None:
    await copy.run("-m", "shared.contracts.generate")
    assert [name for name in ADDED if not (copy.folder / name).exists()] == []
    assert "| `report:queue` | ReportAsked | langgraph | reporter | 1000 |" in (
        copy.folder / "docs" / "CONTRACTS.md"
    ).read_text(encoding="utf-8")
    assert "2 passed" in await copy.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "services/reporter/tests")


async def test_the_pages_service_answers_what_the_page_asks(copy: Copy) -> None:
    service = await copy.start("-m", "reporter")
    try:
        assert await copy.run("try_it.py") == "a report of 3 pages\n"
    finally:
        service.send_signal(signal.SIGTERM)
        output, _ = await service.communicate()
    assert service.returncode == 0, output.decode()


async def test_the_pages_python_passes_the_linters(copy: Copy) -> None:
    added = ("services", "shared/contracts/queues/reports.py")
    ours = 'lint.isort.known-first-party = ["shared", "reporter"]'
    await copy.run("-m", "ruff", "check", "--quiet", "--config", ours, *added)
    await copy.run("-m", "ruff", "format", "--check", "--quiet", *added)


def test_the_guides_name_the_page() -> None:
    for name in ("AGENTS.md", "README.md"):
        assert "docs/ADDING_A_MESSAGE.md" in (REPOSITORY / name).read_text(encoding="utf-8"), name
