"""The memory of a consumer that works off a backlog, and whether it stays what it was."""

from __future__ import annotations

from collections import defaultdict

from tests.benchmarks.bus.contenders import FASTSTREAM, OURS, RAW, TYPED
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import Contender, play, playing
from tests.benchmarks.results import Figure, compared, median, progress

BENCH = "memory"
BACKLOG = 20_000
OF_RAW, GROWTH = 1.2, 1.05


async def run(plan: Plan) -> list[Figure]:
    contenders = (OURS, RAW, TYPED) + ((FASTSTREAM,) if plan.has_peers else ())
    number = min(BACKLOG, plan.number)
    ends: dict[Contender, list[float]] = defaultdict(list)
    growths: list[float] = []
    for repeat in range(plan.repeats):
        for contender in contenders:
            quarters = await resident(plan, contender, number)
            ends[contender].append(max(quarters))
            if contender is OURS:
                growths.append(quarters[-1] / quarters[0])
            progress(f"memory {repeat + 1}/{plan.repeats}: {contender.name} {ends[contender][-1]:.1f} MB")
    end = {contender: median(values) for contender, values in ends.items()}
    found = [Figure(BENCH, f"resident, {peer.name}", round(end[peer], 1), "MB", number) for peer in contenders]
    ours = Figure(BENCH, "resident", round(end[OURS], 1), "MB", number)
    found.append(compared(ours, RAW.name, end[RAW], at_most=OF_RAW))
    grown = Figure(BENCH, "after the whole backlog", round(median(growths), 3), "x", number)
    found.append(compared(grown, "after a quarter of it", 1.0, at_most=GROWTH))
    return found


async def resident(plan: Plan, contender: Contender, number: int) -> list[float]:
    """Return megabytes in use after each quarter of a backlog."""
    plan.server.clear()
    await play(contender, "produce", number, plan.server)
    async with playing(contender, "consume", number, plan.server) as consumer:
        await consumer.report()
        handled = await consumer.report()
    return [kilobytes / 1024 for kilobytes in handled["resident_kb"]]
