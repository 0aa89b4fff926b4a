"""`orchestrator diagnose …`: does the api answer, does Redis, what do the projects look like."""

from __future__ import annotations

import time
from typing import Any

import typer

from orchestrator_cli.context import Context
from orchestrator_cli.errors import JsonObject, JsonValue
from orchestrator_cli.invocation import execute
from orchestrator_cli.output import Answer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look whether the platform answers.")


@app.command()
def api() -> None:
    """Ask the api for its health."""
    execute("diagnose.api", check_api)


@app.command()
def redis() -> None:
    """Ping Redis; inside a worker also look at its own streams."""
    execute("diagnose.redis", check_redis)


@app.command()
def projects() -> None:
    """Count projects and tasks by status."""
    execute("diagnose.projects", check_projects)


async def check_api(context: Context) -> Answer:
    began = time.perf_counter()
    health = await context.gateway.health()
    milliseconds = round((time.perf_counter() - began) * 1000, 1)
    return Answer({"health": health, "milliseconds": milliseconds}, f"the api answered in {milliseconds} ms")


async def check_redis(context: Context) -> Answer:
    """Ping, and the backlog of this worker's streams as far as its rights let it look."""
    from orchestrator_cli.errors import Unreachable
    from shared.contracts.topology import DEVELOPER_INPUT, PO_INPUT, PO_OUTPUT, Stream
    from shared.redis.errors import BusDenied, BusError

    worker_id = context.settings.worker_id
    families: list[Stream[Any]] = [PO_INPUT, PO_OUTPUT, DEVELOPER_INPUT]
    own = [family.at(worker_id) for family in families] if worker_id else []
    streams: JsonObject = {}
    try:
        async with context.open_bus() as bus:
            began = time.perf_counter()
            await bus.ping()
            milliseconds = round((time.perf_counter() - began) * 1000, 1)
            for stream in own:
                try:
                    stats = await bus.stats(stream)
                    streams[stream.name] = {"length": stats.length, "last_id": stats.last_id}
                except BusDenied:
                    streams[stream.name] = "not readable by this worker"
    except BusError as error:
        raise Unreachable(f"Redis does not answer ({error}); try again in a moment") from None
    return Answer({"milliseconds": milliseconds, "streams": streams}, f"Redis answered in {milliseconds} ms")


async def check_projects(context: Context) -> Answer:
    projects = await context.gateway.list_projects()
    tasks = await context.gateway.list_tasks()
    counts: JsonObject = {"projects": _by_status(projects), "tasks": _by_status(tasks)}
    return Answer(counts, f"{len(projects)} projects, {len(tasks)} tasks")


def _by_status(rows: list[JsonObject]) -> JsonValue:
    counts: dict[str, int] = {}
    for row in rows:
        status = str(row.get("status"))
        counts[status] = counts.get(status, 0) + 1
    return dict[str, JsonValue](counts)
