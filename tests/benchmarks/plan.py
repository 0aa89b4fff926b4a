"""How large a run is and what it runs against."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.server import Server


@dataclass(frozen=True)
class Plan:
    """`number` messages per measurement, `scale` in the long run, `repeats` interleaved repetitions.

    Peers need downloads.
    """

    server: Server
    number: int
    scale: int
    repeats: int
    has_peers: bool
