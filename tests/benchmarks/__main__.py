"""Runs benchmarks, writes a JSON line per figure, prints a table; fails only when one could not run."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping

from tests.benchmarks.bus import latency, memory, publishing, scale, throughput
from tests.benchmarks.environments import CannotRun
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Figure, environment, progress, table, write
from tests.benchmarks.server import running_server

Benchmark = Callable[[Plan], Awaitable[list[Figure]]]
GROUPS: Mapping[str, tuple[Benchmark, ...]] = {
    "bus": (throughput.run, publishing.run, latency.run, memory.run, scale.run),
}
NUMBER, SCALE, REPEATS = 40_000, 100_000, 3
QUICK_NUMBER, QUICK_SCALE, QUICK_REPEATS = 2_000, 5_000, 1


def main() -> int:
    given = arguments()
    names = given.names or list(GROUPS)
    has_failed = False
    with running_server() as server:
        described = environment(server.version)
        progress(", ".join(f"{name} {value}" for name, value in described.items()))
        plan = Plan(server, given.n, given.scale, given.repeats, given.has_peers)
        for name in names:
            figures: list[Figure] = []
            for benchmark in GROUPS[name]:
                try:
                    figures += asyncio.run(_of(benchmark, plan))
                except CannotRun as error:
                    progress(f"could not run {benchmark.__module__}: {error}")
                    has_failed = True
            print(f"{table(figures)}\n\n{write(name, figures, described)}")
    return 1 if has_failed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="|".join(GROUPS), help="which to run; all without a name")
    parser.add_argument("--n", type=int, help=f"messages per measurement ({NUMBER})")
    parser.add_argument("--scale", type=int, help=f"messages of the long run ({SCALE})")
    parser.add_argument("--repeats", type=int, help=f"repetitions, of which the median counts ({REPEATS})")
    parser.add_argument("--quick", action="store_true", help="small numbers, one repetition")
    parser.add_argument("--no-peers", dest="has_peers", action="store_false", help="leave out what needs downloads")
    given = parser.parse_args()
    if unknown := set(given.names) - set(GROUPS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    given.n = given.n or (QUICK_NUMBER if given.quick else NUMBER)
    given.scale = given.scale or (QUICK_SCALE if given.quick else SCALE)
    given.repeats = given.repeats or (QUICK_REPEATS if given.quick else REPEATS)
    return given


async def _of(benchmark: Benchmark, plan: Plan) -> list[Figure]:
    return await benchmark(plan)


if __name__ == "__main__":
    sys.exit(main())
