"""Many messages through one stream: its length stays bounded and the server's memory flat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.benchmarks.bus.contenders import OURS
from tests.benchmarks.bus.ours import EVENTS, IN_FLIGHT
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import playing
from tests.benchmarks.results import Figure, bounded, progress
from tests.benchmarks.server import Server

BENCH = "scale"
SPREAD = 0.10
SAMPLE_SECONDS = 0.02
PARTS = 5
TRIM_STEPS = 1.5
Sample = tuple[int, int]


async def run(plan: Plan) -> list[Figure]:
    number = plan.scale
    plan.server.clear()
    async with playing(OURS, "circulate", number, plan.server) as circulating:
        await circulating.report()
        async with watched(plan.server) as samples:
            done = await circulating.report()
    lengths = [length for length, _ in samples]
    parts = _parts([used for _, used in samples])
    mean = sum(parts) / len(parts)
    spread = max(abs(part - mean) for part in parts) / mean
    seconds = (done["last_ns"] - done["first_ns"]) / 1e9
    progress(f"scale: {number:,} messages in {seconds:.0f} s, {len(samples)} samples")
    return [
        bounded(_figure("longest stream", max(lengths), "entries", number), EVENTS.retention * TRIM_STEPS + IN_FLIGHT),
        _figure("memory of the server", round(mean / 2**20, 2), "MB", number),
        bounded(_figure("memory, farthest fifth from the mean", round(spread, 3), "of it", number), SPREAD),
        bounded(_figure("pending at the end", done["pending"], "entries", number), 0),
        _figure("one process, both ways", round(number / seconds), "msg/s", number),
    ]


@asynccontextmanager
async def watched(server: Server) -> AsyncIterator[list[Sample]]:
    """Sample the length of the stream and the server's memory while the block runs."""
    samples: list[Sample] = []

    async def watch() -> None:
        while True:
            samples.append((server.length(), server.used_bytes))
            await asyncio.sleep(SAMPLE_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        yield samples
    finally:
        watching.cancel()


def _parts(values: list[int]) -> list[float]:
    """Return the means of the fifths of a run, without the first, in which the stream fills."""
    size = max(1, len(values) // PARTS)
    starts = range(size, size * PARTS, size) if len(values) >= PARTS else range(1)
    return [sum(values[start : start + size]) / size for start in starts]


def _figure(figure: str, value: float, unit: str, number: int) -> Figure:
    return Figure(BENCH, figure, value, unit, number)
