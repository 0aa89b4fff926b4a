"""What a benchmark found: one JSON line per figure, and a table at the end."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured value; `against` names what `ratio` compares it with, `ok` is None where there is no target."""

    bench: str
    figure: str
    value: float
    unit: str
    n: int
    against: str = ""
    ratio: float | None = None
    target: str = ""
    ok: bool | None = None


def compared(figure: Figure, against: str, other: float, *, at_least: float = 0.0, at_most: float = 0.0) -> Figure:
    """Return the figure with its ratio to another value and whether the ratio holds the target."""
    ratio = figure.value / other if other else 0.0
    target = f"≥ {at_least:g}x" if at_least else f"≤ {at_most:g}x"
    ok = ratio >= at_least if at_least else ratio <= at_most
    return Figure(
        figure.bench, figure.figure, figure.value, figure.unit, figure.n, against, round(ratio, 3), target, ok
    )


def bounded(figure: Figure, limit: float) -> Figure:
    """Return the figure with whether it lies at or below a limit."""
    target, ok = f"≤ {limit:g} {figure.unit}", figure.value <= limit
    return Figure(figure.bench, figure.figure, figure.value, figure.unit, figure.n, target=target, ok=ok)


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def environment(redis_version: str) -> dict[str, object]:
    """Describe what the figures were measured on."""
    return {
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "redis": redis_version,
        "redis-py": version("redis"),
        "pydantic": version("pydantic"),
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def write(name: str, figures: Sequence[Figure], described: dict[str, object]) -> Path:
    """Write a run's figures into a file of its own and return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    lines = [json.dumps({**asdict(figure), "environment": described}, ensure_ascii=False) for figure in figures]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table."""
    rows = [["bench", "figure", "value", "compared with", "ratio", "target", "holds"]]
    for figure in figures:
        value = f"{figure.value:,.0f}" if abs(figure.value) >= 1000 else f"{figure.value:.3g}"
        holds = {True: "yes", False: "no", None: ""}[figure.ok]
        ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
        rows.append(
            [figure.bench, figure.figure, f"{value} {figure.unit}", figure.against, ratio, figure.target, holds]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def progress(text: str) -> None:
    """Tell on standard error what is being measured."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
