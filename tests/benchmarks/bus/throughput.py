"""One producer and one consumer: messages per second from first publish to last handler, and the cost of each."""

from __future__ import annotations

from collections import defaultdict

from tests.benchmarks.bus.contenders import FASTSTREAM, FASTSTREAM_BATCH, LOCAL, OURS, PEERS, TYPED
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import Contender, play, playing
from tests.benchmarks.results import Figure, bounded, compared, median, progress

BENCH = "bus"
OF_TYPED, OF_FASTSTREAM, OF_ITS_BEST = 0.75, 7.0, 1.2
CONSUMER_MICROSECONDS = 12.0


async def run(plan: Plan) -> list[Figure]:
    contenders = LOCAL + (PEERS if plan.has_peers else ())
    rates: dict[Contender, list[float]] = defaultdict(list)
    costs: dict[Contender, list[float]] = defaultdict(list)
    drained: dict[Contender, list[float]] = defaultdict(list)
    for repeat in range(plan.repeats):
        for contender in contenders:
            number = contender.number(plan.number)
            rate, cost = await together(plan, contender, number)
            rates[contender].append(rate)
            costs[contender].append(cost)
            if contender in LOCAL:
                drained[contender].append(await drain(plan, contender, number))
            progress(f"throughput {repeat + 1}/{plan.repeats}: {contender.name} {rate:,.0f}/s, {cost:.1f} µs")
    rate_of = {contender: median(values) for contender, values in rates.items()}
    found = [_figure(plan, f"throughput, {peer.name}", rate_of[peer], "msg/s") for peer in contenders]
    ours = _figure(plan, "throughput", rate_of[OURS], "msg/s")
    found.append(compared(ours, TYPED.name, rate_of[TYPED], at_least=OF_TYPED))
    if plan.has_peers:
        found.append(compared(ours, FASTSTREAM.name, rate_of[FASTSTREAM], at_least=OF_FASTSTREAM))
        found.append(compared(ours, FASTSTREAM_BATCH.name, rate_of[FASTSTREAM_BATCH], at_least=OF_ITS_BEST))
    for contender, values in drained.items():
        found.append(_figure(plan, f"backlog, consumer alone, {contender.name}", median(values), "msg/s"))
    for contender, values in costs.items():
        spent = _figure(plan, f"consumer, {contender.name}", median(values), "µs CPU/msg")
        found.append(bounded(spent, CONSUMER_MICROSECONDS) if contender is OURS else spent)
    return found


async def together(plan: Plan, contender: Contender, number: int) -> tuple[float, float]:
    """Return messages per second and the consumer's microseconds of processor time for each."""
    plan.server.clear()
    async with playing(contender, "consume", number, plan.server) as consumer:
        await consumer.report()
        sent = await play(contender, "produce", number, plan.server)
        handled = await consumer.report()
    seconds = (handled["last_ns"] - sent["first_ns"]) / 1e9
    return number / seconds, handled["cpu_seconds"] / number * 1e6


async def drain(plan: Plan, contender: Contender, number: int) -> float:
    """Return how many messages of a backlog a consumer handles per second with the producer gone."""
    plan.server.clear()
    await play(contender, "produce", number, plan.server)
    async with playing(contender, "consume", number, plan.server) as consumer:
        await consumer.report()
        handled = await consumer.report()
    return (number - 1) / (float(handled["last_ns"] - handled["first_ns"]) / 1e9)


def _figure(plan: Plan, figure: str, value: float, unit: str) -> Figure:
    return Figure(BENCH, figure, round(value, 2), unit, plan.number)
