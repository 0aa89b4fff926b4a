"""Runs a scenario in a stack of its own and shows it: conversation, checks, timeline, cost."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

from local_stack.demo.play import Play
from local_stack.demo.report import Report
from local_stack.demo.scenario import Scenario
from local_stack.layout import Layout
from local_stack.running import require_stopped
from local_stack.settings import StackSettings
from local_stack.stack import Stack
from local_stack.sweep import sweep
from local_stack.view import View
from shared.redis.client import RedisStreamClient

REPORT_NAME = "demo-report.json"


def _fresh(layout: Layout) -> None:
    """Begin with an empty home; the shared binaries and caches stay."""
    require_stopped(layout)
    sweep(layout.home)
    shutil.rmtree(layout.home, ignore_errors=True)


async def show(
    settings: StackSettings, layout: Layout, view: View, scenario: Scenario, script: Path | None, *, is_kept: bool
) -> int:
    """Play a scenario from nothing; return the exit code: 0 when every check held."""
    started = time.monotonic()
    _fresh(layout)
    scripts = (script,) if script is not None else ()
    path = layout.shared_home / REPORT_NAME
    async with Stack(settings, layout, scripts=scripts, say=view.say) as stack:
        view.banner(stack.real_parts(), stack.emulated_parts())
        ready = time.monotonic() - started
        bus = RedisStreamClient(url=stack.plan.redis_url, service="local-stack")
        play = Play(stack, bus, view, scenario)
        play.report.seconds["start"] = round(ready, 2)
        try:
            await play.run()
        finally:
            await bus.close()
            play.report.seconds["total"] = round(time.monotonic() - started, 2)
            play.report.write(path)
        _summary(view, play.report, path)
        if is_kept and play.report.is_good:
            view.say(f"the application runs at {play.report.url} until you press Ctrl-C")
            await asyncio.shield(stack.supervisor.failure)
    return 0 if play.report.is_good else 1


def _summary(view: View, report: Report, path: Path) -> None:
    view.timeline(entry for entry in report.timeline if not entry.type.startswith("Node"))
    view.checks(report.checks)
    tokens = ", ".join(f"{count} {name}" for name, count in report.tokens.items())
    view.say(f"tokens: {tokens}; cost: ${report.cost_usd:.4f}")
    view.say("seconds: " + ", ".join(f"{name} {value}" for name, value in report.seconds.items()))
    view.say(f"report: {path}")
    view.say(f"url: {report.url}")
