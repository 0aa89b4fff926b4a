"""From publish to handler at fifty messages a second; and how often a consumer wakes up while nothing comes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

from tests.benchmarks.bus.contenders import FASTSTREAM, OURS, TYPED
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import Contender, play, playing
from tests.benchmarks.results import Figure, bounded, compared, median, percentile, progress

BENCH = "latency"
OF_TYPED, OF_FASTSTREAM, LONGEST_MS = 1.25, 1.0, 5.0
WARM_UP = 5
SHARE = 100
MOST_MESSAGES, FEWEST_MESSAGES = 300, 25
LONGEST_IDLE_SECONDS, SHORTEST_IDLE_SECONDS = 20.0, 2.0
MESSAGES_PER_IDLE_SECOND = 1000
WAKE_UPS_PER_SECOND = 2.0


async def run(plan: Plan) -> list[Figure]:
    contenders = (OURS, TYPED) + ((FASTSTREAM,) if plan.has_peers else ())
    number = min(MOST_MESSAGES, max(FEWEST_MESSAGES, plan.number // SHARE))
    halves: dict[Contender, list[float]] = defaultdict(list)
    tails: dict[Contender, list[float]] = defaultdict(list)
    for repeat in range(plan.repeats):
        for contender in contenders:
            taken = await paced(plan, contender, number)
            halves[contender].append(percentile(taken, 0.5))
            tails[contender].append(percentile(taken, 0.99))
            shown = f"p50 {halves[contender][-1]:.2f} ms, p99 {tails[contender][-1]:.2f} ms"
            progress(f"latency {repeat + 1}/{plan.repeats}: {contender.name} {shown}")
    half = {contender: median(values) for contender, values in halves.items()}
    tail = {contender: median(values) for contender, values in tails.items()}
    found = [_figure(f"p50, {peer.name}", half[peer], "ms", number) for peer in contenders]
    found += [_figure(f"p99, {peer.name}", tail[peer], "ms", number) for peer in contenders if peer is not OURS]
    found.append(compared(_figure("p50", half[OURS], "ms", number), TYPED.name, half[TYPED], at_most=OF_TYPED))
    if plan.has_peers:
        ours = _figure("p50", half[OURS], "ms", number)
        found.append(compared(ours, FASTSTREAM.name, half[FASTSTREAM], at_most=OF_FASTSTREAM))
    found.append(bounded(_figure("p99", tail[OURS], "ms", number), LONGEST_MS))
    rest = await asyncio.gather(*[wake_ups(plan, contender) for contender in (OURS, TYPED)])
    found.append(_figure(f"idle, {TYPED.name}", rest[1], "wake-ups/s", 1))
    found.append(bounded(_figure("idle", rest[0], "wake-ups/s", 1), WAKE_UPS_PER_SECOND))
    return found


async def paced(plan: Plan, contender: Contender, number: int) -> list[float]:
    """Return the milliseconds each message took, without the first few."""
    plan.server.clear()
    async with playing(contender, "consume", number, plan.server, keeps_latency=True) as consumer:
        await consumer.report()
        await play(contender, "pace", number, plan.server)
        handled = await consumer.report()
    return [nanoseconds / 1e6 for nanoseconds in handled["latencies_ns"][WARM_UP:]]


async def wake_ups(plan: Plan, contender: Contender) -> float:
    """Return how often per second a consumer without messages gives the processor back."""
    plan.server.clear()
    async with playing(contender, "consume", 1, plan.server) as consumer:
        await consumer.report()
        seconds = min(LONGEST_IDLE_SECONDS, max(SHORTEST_IDLE_SECONDS, plan.number / MESSAGES_PER_IDLE_SECOND))
        before = _switches(consumer.process.pid)
        await asyncio.sleep(seconds)
        return (_switches(consumer.process.pid) - before) / seconds


def _switches(process_id: int) -> int:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("voluntary")).split()[1])


def _figure(figure: str, value: float, unit: str, number: int) -> Figure:
    return Figure(BENCH, figure, round(value, 3), unit, number)
