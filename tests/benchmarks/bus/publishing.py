"""A hundred publishes awaited together, against a pipeline written by hand; and what one lone publish costs."""

from __future__ import annotations

from collections import defaultdict

from tests.benchmarks.bus.contenders import FASTSTREAM, OURS, RAW, TYPED
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import Contender, Report, play
from tests.benchmarks.results import Figure, compared, median, progress

BENCH = "publish"
OF_PIPELINE, OF_FASTSTREAM, LONE_COST = 0.85, 3.5, 1.15
LONE_SHARE = 0.25
Entry = tuple[str, Contender, str, float]

TOGETHER: tuple[Entry, ...] = (
    ("100 together", OURS, "produce-together", 1.0),
    ("a list of 100", OURS, "produce", 1.0),
    ("pipeline of 100, redis-py typed", TYPED, "produce", 1.0),
)
FASTSTREAM_TOGETHER: Entry = ("100 together, FastStream", FASTSTREAM, "produce-together", 0.25)
LONE: tuple[Entry, ...] = (
    ("one by one", OURS, "produce-singly", LONE_SHARE),
    ("one by one, redis-py typed", TYPED, "produce-singly", LONE_SHARE),
    ("one by one, redis-py bytes only", RAW, "produce-singly", LONE_SHARE),
)


async def run(plan: Plan) -> list[Figure]:
    entries = TOGETHER + ((FASTSTREAM_TOGETHER,) if plan.has_peers else ()) + LONE
    rates: dict[str, list[float]] = defaultdict(list)
    costs: dict[str, list[float]] = defaultdict(list)
    for repeat in range(plan.repeats):
        for name, contender, role, share in entries:
            number = max(100, int(plan.number * share))
            plan.server.clear()
            sent = await play(contender, role, number, plan.server)
            rates[name].append(number / _seconds(sent))
            costs[name].append(sent["cpu_seconds"] / number * 1e6)
            progress(f"publish {repeat + 1}/{plan.repeats}: {name} {rates[name][-1]:,.0f}/s, {costs[name][-1]:.1f} µs")
    rate = {name: median(values) for name, values in rates.items()}
    cost = {name: median(values) for name, values in costs.items()}
    found = [Figure(BENCH, name, round(value), "msg/s", plan.number) for name, value in rate.items()]
    together = Figure(BENCH, "100 together", round(rate["100 together"]), "msg/s", plan.number)
    pipeline, typed = TOGETHER[2][0], LONE[1][0]
    found.append(compared(together, pipeline, rate[pipeline], at_least=OF_PIPELINE))
    if plan.has_peers:
        peer = FASTSTREAM_TOGETHER[0]
        found.append(compared(together, peer, rate[peer], at_least=OF_FASTSTREAM))
    found += [Figure(BENCH, f"{name}, cost", round(cost[name], 1), "µs CPU/msg", plan.number) for name, *_ in LONE]
    lone = Figure(BENCH, "one by one, cost", round(cost["one by one"], 1), "µs CPU/msg", plan.number)
    found.append(compared(lone, typed, cost[typed], at_most=LONE_COST))
    return found


def _seconds(sent: Report) -> float:
    return float(sent["last_ns"] - sent["first_ns"]) / 1e9
