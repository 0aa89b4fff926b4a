"""A process of its own for the reaper's test: it adopts orphans, and prints what became of them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import psutil

from worker_wrapper.pid1 import OrphanReaper, adopt_orphans, end_strays
from worker_wrapper.process import ChildOutcome, ChildProcesses, ChildSpec, Deadlines

ORPHANS = """
import os
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        os.fork()
        os._exit(0)
os._exit(7)
"""
STRAY = """
import subprocess, sys
sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
child = subprocess.Popen(sleeper, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(child.pid)
"""


async def run(children: ChildProcesses, code: str) -> ChildOutcome:
    spec = ChildSpec((sys.executable, "-c", code), Path("/"), dict(os.environ))
    return await children.run(spec, Deadlines(total_seconds=30))


async def main() -> None:
    is_adopter = adopt_orphans()
    children = ChildProcesses()
    reaper = OrphanReaper(children)
    reaper.install()
    outcomes = await asyncio.gather(*(run(children, ORPHANS) for _ in range(5)))
    stray = int((await run(children, STRAY)).stdout)
    is_adopted = psutil.Process(stray).ppid() == os.getpid()
    ended = end_strays(children)
    until = time.monotonic() + 10
    while (left := psutil.Process().children(recursive=True)) and time.monotonic() < until:
        await asyncio.sleep(0.02)
    reaper.uninstall()
    sys.stdout.write(f"{[o.exit_code for o in outcomes]} {is_adopter} {is_adopted} {stray in ended} {len(left)}\n")


if __name__ == "__main__":
    asyncio.run(main())
