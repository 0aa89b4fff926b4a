"""Every container is killed at once, after the conversation: all come back, and nothing is lost."""

from __future__ import annotations

import os
import signal

import pytest

from local_stack.testing.deployment import Deployment
from local_stack.testing.waiting import eventually

JOBS = {"migrate", "registration"}


def _count_rows(deployment: Deployment) -> dict[str, str]:
    query = "SELECT count(*) FROM {}"
    command = ("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--username=postgres", "orchestrator", "--command")
    return {
        table: deployment.said_in("postgres", *command, query.format(table)) for table in ("projects", "runs", "tasks")
    }


def _stream_length(deployment: Deployment) -> str:
    script = '. /run/secrets/service.env; REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli XLEN run:events'
    return deployment.said_in("redis", "sh", "-c", script)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may kill the processes of containers")
@pytest.mark.timeout(300)
async def test_every_container_that_is_killed_comes_back_with_its_data(deployment: Deployment) -> None:
    before = {name: entry for name, entry in deployment.containers().items() if name not in JOBS}
    rows, length = _count_rows(deployment), _stream_length(deployment)
    for entry in before.values():
        os.kill(entry["State"]["Pid"], signal.SIGKILL)
    seen: dict[str, str] = {}

    async def ask() -> bool | None:
        now = deployment.containers()
        seen.clear()
        for name, entry in before.items():
            state = now[name]["State"]
            if state["Pid"] == entry["State"]["Pid"] or state.get("Health", {}).get("Status") != "healthy":
                seen[name] = state["Status"]
        return None if seen else True

    await eventually(ask, 120, "the return of every container", lambda: seen)
    assert (_count_rows(deployment), _stream_length(deployment)) == (rows, length)
