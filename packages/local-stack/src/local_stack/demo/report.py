"""The demo's report: what was built, what was checked, what it cost, where the time went."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """Seconds since the first message of the conversation; `run` is a short run id."""

    seconds: float
    run: str
    seq: int
    type: str
    text: str


@dataclass(frozen=True, slots=True)
class StreamUse:
    entries_written: int
    entries_read: int


@dataclass(slots=True)
class Report:
    url: str = ""
    checks: list[Check] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)
    timeline: list[TimelineEntry] = field(default_factory=list)
    tokens: dict[str, int] = field(default_factory=dict)
    cost_usd: float = 0.0
    real: list[str] = field(default_factory=list)
    emulated: list[str] = field(default_factory=list)
    services: dict[str, dict[str, object]] = field(default_factory=dict)
    conversation: list[dict[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        return bool(self.checks) and all(check.ok for check in self.checks)

    def check(self, name: str, ok: bool, detail: str = "") -> bool:
        """Note a check and return whether it held."""
        self.checks.append(Check(name, ok, detail))
        return ok

    def write(self, path: Path) -> None:
        """Write the report as JSON, at once or not at all."""
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False))
        partial.replace(path)
