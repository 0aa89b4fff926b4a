"""Counters of the bus, per stream family and group, and their Prometheus text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from shared.contracts.topology import TOPOLOGY
from shared.redis.subscription import Backlog

_FAMILIES = tuple(
    (re.compile(re.sub(r"\\\{.*?\\\}", "[^:]+", re.escape(stream.name)) + r"(:dlq)?"), stream.name)
    for stream in TOPOLOGY
    if "{" in stream.name
)


@lru_cache(maxsize=4096)
def family(name: str) -> str:
    """Return the topology's name of a stream, so that one worker's stream is not a label of its own."""
    for pattern, template in _FAMILIES:
        if match := pattern.fullmatch(name):
            return template + (match.group(1) or "")
    return name


@dataclass(slots=True)
class GroupCounters:
    """What one group of one stream family did in this process."""

    handled: int = 0
    retried: int = 0
    dead: int = 0
    duplicates: int = 0
    in_flight: int = 0
    handler_seconds: float = 0.0
    waiting_for_name: int = 0
    backlogs: dict[str, Backlog] = field(default_factory=dict)

    @property
    def pending(self) -> int:
        """Entries in somebody's hand, of every stream of the family that is consumed here."""
        return sum(backlog.pending for backlog in self.backlogs.values())

    @property
    def lag(self) -> int:
        """Entries nobody has read yet."""
        return sum(backlog.lag for backlog in self.backlogs.values())

    @property
    def oldest_seconds(self) -> float:
        """The age of the oldest entry that is not finished."""
        return max((backlog.oldest_age_seconds for backlog in self.backlogs.values()), default=0.0)


_SERIES = (
    ("bus_handled_total", "counter", "handled"),
    ("bus_retried_total", "counter", "retried"),
    ("bus_dead_total", "counter", "dead"),
    ("bus_duplicates_total", "counter", "duplicates"),
    ("bus_in_flight", "gauge", "in_flight"),
    ("bus_handler_seconds_total", "counter", "handler_seconds"),
    ("bus_pending", "gauge", "pending"),
    ("bus_lag", "gauge", "lag"),
    ("bus_oldest_age_seconds", "gauge", "oldest_seconds"),
    ("bus_waiting_for_name", "gauge", "waiting_for_name"),
)


class BusMetrics:
    """Every counter of one bus."""

    def __init__(self) -> None:
        self._published: dict[str, int] = {}
        self._groups: dict[tuple[str, str], GroupCounters] = {}

    def count_published(self, name: str, number: int = 1) -> None:
        """Count messages appended to a stream."""
        label = family(name)
        self._published[label] = self._published.get(label, 0) + number

    def published(self, name: str) -> int:
        """Return how many messages were appended to a stream's family."""
        return self._published.get(family(name), 0)

    def group(self, name: str, group: str) -> GroupCounters:
        """Return the counters of a group, made on first use."""
        return self._groups.setdefault((family(name), group), GroupCounters())

    def waiting_for_name(self) -> list[str]:
        """Return the groups in which a consumer of this process waits for its name."""
        return [f"{group} on {name}" for (name, group), counters in self._groups.items() if counters.waiting_for_name]

    def render(self) -> str:
        """Return Prometheus text."""
        lines = ["# TYPE bus_published_total counter"]
        lines += [f'bus_published_total{{stream="{name}"}} {count}' for name, count in sorted(self._published.items())]
        for series, kind, attribute in _SERIES:
            lines.append(f"# TYPE {series} {kind}")
            for (name, group), counters in sorted(self._groups.items()):
                value = round(getattr(counters, attribute), 6)
                lines.append(f'{series}{{stream="{name}",group="{group}"}} {value}')
        return "\n".join(lines) + "\n"
