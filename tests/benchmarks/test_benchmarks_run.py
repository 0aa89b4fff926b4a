"""Every benchmark runs, at small numbers and without the peers that are downloaded; its times do not matter here."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.benchmarks.environments import ROOT
from tests.benchmarks.results import Figure, bounded, compared

pytestmark = pytest.mark.service
LINE = {"bench", "figure", "value", "unit", "against", "ratio", "target", "ok", "n", "environment"}


async def benchmarks(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "tests.benchmarks", *arguments],
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


@pytest.mark.timeout(180)
async def test_the_benchmarks_of_the_bus_write_a_line_for_every_figure() -> None:
    sizes = ["--n", "400", "--scale", "2000", "--repeats", "1", "--no-peers"]
    code, output, errors = await benchmarks("bus", *sizes)
    assert code == 0, errors
    written = Path(output.strip().splitlines()[-1])
    figures = [json.loads(line) for line in written.read_text().splitlines()]
    written.unlink()
    assert all(set(figure) == LINE for figure in figures)
    assert {figure["bench"] for figure in figures} == {"bus", "publish", "latency", "memory", "scale"}
    [pending] = [figure for figure in figures if figure["figure"] == "pending at the end"]
    assert (pending["value"], pending["ok"]) == (0, True)


async def test_an_unknown_benchmark_is_refused_by_name() -> None:
    code, _, errors = await benchmarks("bsu")
    assert code == 2
    assert "no benchmark is called bsu" in errors


def test_a_ratio_holds_on_its_own_side_of_the_target() -> None:
    figure = Figure("bus", "throughput", 80.0, "msg/s", 1)
    assert [compared(figure, "peer", 100.0, at_least=share).ok for share in (0.8, 0.81)] == [True, False]
    assert [compared(figure, "peer", 100.0, at_most=share).ok for share in (0.8, 0.79)] == [True, False]
    assert [bounded(figure, limit).ok for limit in (80.0, 79.0)] == [True, False]
