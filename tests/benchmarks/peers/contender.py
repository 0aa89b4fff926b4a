"""One process of a benchmark: what it is told, how it measures itself, how it reports. Only the standard library.

A contender's module calls main() with its roles; each report is one JSON line on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import resource
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

STREAM = "bench"
GROUP = "bench"
CONSUMER = "one"
BATCH = 100
MESSAGES_PER_SECOND = 50
MARK = "report: "


@dataclass(frozen=True)
class Job:
    """`number` messages are published or handled; `keeps_latency` asks for the time each one took."""

    url: str
    variant: str
    number: int
    keeps_latency: bool


Role = Callable[[Job], Awaitable[None] | None]


class Meter:
    """Counts handled messages; at the last one reports times, processor time and memory of this process."""

    def __init__(self, job: Job) -> None:
        self.latencies_ns: list[int] = []
        self._job = job
        self._next = itertools.count(1).__next__
        self._resident_kb: list[int] = []
        self._started_cpu = 0.0
        self._first_ns = 0
        self._quarter = max(1, job.number // 4)

    def ready(self) -> None:
        """Tell that messages may come."""
        self._started_cpu = cpu_seconds()
        report(ready=True)

    def hit(self, sent_ns: int = 0) -> None:
        """Count one handled message; safe to call from several threads."""
        count = self._next()
        if self._job.keeps_latency:
            self.latencies_ns.append(time.monotonic_ns() - sent_ns)
        if count == 1:
            self._first_ns = time.monotonic_ns()
        if count % self._quarter == 0:
            self._resident_kb.append(resident_kb())
        if count == self._job.number:
            report(
                first_ns=self._first_ns,
                last_ns=time.monotonic_ns(),
                cpu_seconds=cpu_seconds() - self._started_cpu,
                resident_kb=self._resident_kb,
                latencies_ns=self.latencies_ns,
            )


def cpu_seconds() -> float:
    """Return the processor time of this process, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_kb() -> int:
    """Return the memory this process has in use now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def report(**values: Any) -> None:
    """Write one line past whatever a framework has put in place of sys.stdout."""
    os.write(1, (MARK + json.dumps(values) + "\n").encode())


def published(started_ns: int, started_cpu: float) -> None:
    """Report the end of a producer."""
    report(first_ns=started_ns, last_ns=time.monotonic_ns(), cpu_seconds=cpu_seconds() - started_cpu)


async def publish_all(job: Job, send: Callable[[range], Awaitable[object]], step: int = BATCH) -> None:
    """Hand over every message, `step` numbers at a time, and report."""
    started_ns, started_cpu = time.monotonic_ns(), cpu_seconds()
    for start in range(0, job.number, step):
        await send(range(start, min(job.number, start + step)))
    published(started_ns, started_cpu)


async def publish_paced(job: Job, send: Callable[[int], Awaitable[object]]) -> None:
    """Hand over one message every 20 ms, and report."""
    started_ns, started_cpu = time.monotonic_ns(), cpu_seconds()
    for number in range(job.number):
        await send(number)
        await asyncio.sleep(1 / MESSAGES_PER_SECOND)
    published(started_ns, started_cpu)


def main(roles: Mapping[str, Role]) -> None:
    """Play one role until it ends or the benchmark stops this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=sorted(roles))
    parser.add_argument("--url", required=True)
    parser.add_argument("--variant", default="")
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--keeps-latency", action="store_true")
    given = parser.parse_args()
    done = roles[given.role](Job(given.url, given.variant, given.number, given.keeps_latency))
    if done is not None:
        asyncio.run(_finish(done))


async def _finish(done: Awaitable[None]) -> None:
    await done
