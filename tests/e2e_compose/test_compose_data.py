"""What survives, after the conversation: a backup brings everything back after a wipe, `down` keeps the data.

Ends what the other tests leave: only the services that a test names run after it.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from local_stack.testing.deployment import Deployment, control, docker
from local_stack.testing.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
AT_REST = {"postgres", "redis", "api", "server"}
WITH_A_SERVER = ("api", "relay", "infra-service", "scheduler", "server", "registration")
CHANGES_AT_REST = {"leases"}
APPLICATION = "/srv/codegen/apps/kept/data/rows"
ANSWER_SECONDS = 60
IDS_OF_STREAMS = """
local streams = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
    if redis.call('TYPE', key).ok == 'stream' then
        local ids = {key}
        for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do ids[#ids + 1] = entry[1] end
        streams[#streams + 1] = ids
    end
end
return streams
"""
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Stack:
    """The system under test, with data in it that nothing changes by itself."""

    deployment: Deployment

    def control(self, script: str, *arguments: str) -> str:
        return control(ROOT, self.deployment.env, script, *arguments)

    def rest(self) -> None:
        """Stop every service that acts on its own."""
        running = {name for name, entry in self.deployment.containers().items() if entry["State"]["Running"]}
        self.compose("stop", *sorted(running - AT_REST))

    def begin(self, *services: str) -> None:
        self.compose("up", "-d", *services)

    def compose(self, *arguments: str) -> None:
        self.control("compose.sh", "--profile", "emulators", *arguments)

    def sql(self, query: str) -> str:
        psql = ("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--username=postgres", "orchestrator")
        return self.deployment.said_in("postgres", *psql, "--command", query).strip()

    def redis(self, *command: str) -> str:
        script = '. /run/secrets/service.env; REDISCLI_AUTH="$REDIS_PASSWORD" exec redis-cli --json "$@"'
        return self.deployment.said_in("redis", "sh", "-c", script, "redis-cli", *command).strip()

    def fill(self) -> None:
        """Write rows through the api, and a stream with entries that somebody holds."""
        headers = {"Authorization": f"Bearer {self.deployment.told('scheduler')['API_TOKEN']}"}
        with httpx.Client(base_url=f"{self.deployment.api_url}/api", headers=headers, timeout=30) as client:
            user = client.post("/users", json={"telegram_id": 4711, "name": "Ada Ωmega"}).raise_for_status().json()
            project = {"name": "kept-project", "owner_id": user["id"]}
            client.post("/projects", json=project).raise_for_status()
        for number in range(3):
            self.redis("XADD", "kept:stream", "*", "data", f"entry {number}")
        self.redis("XGROUP", "CREATE", "kept:stream", "readers", "0")
        self.redis("XREADGROUP", "GROUP", "readers", "one", "COUNT", "2", "STREAMS", "kept:stream", ">")

    def fill_application(self) -> None:
        script = f"mkdir -p $(dirname {APPLICATION}) && echo rows > {APPLICATION}"
        self.deployment.run_in("server", "sh", "-c", script)

    def rows(self) -> dict[str, str]:
        """Return a digest of every table that changes only when somebody asks for something."""
        tables = self.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").split()
        digest = "SELECT '{0}', count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {0} t"
        digests = self.sql(" UNION ALL ".join(digest.format(table) for table in tables if table not in CHANGES_AT_REST))
        return dict(line.split("|", 1) for line in digests.splitlines())

    def streams(self) -> dict[str, list[str]]:
        """Return the ids of every stream's entries."""
        return {name: ids for name, *ids in json.loads(self.redis("EVAL", IDS_OF_STREAMS, "0"))}

    def kept_stream(self) -> object:
        return [
            json.loads(self.redis("XRANGE", "kept:stream", "-", "+")),
            [entry[0] for entry in json.loads(self.redis("XPENDING", "kept:stream", "readers", "-", "+", "9"))],
        ]

    async def until_applications_answer(self) -> None:
        """Wait for every application that the database knows of."""
        urls = self.sql("SELECT coalesce(string_agg(deployed_url, ' '), '') FROM projects").split()
        print("applications:", urls)
        async with httpx.AsyncClient(timeout=10) as client:
            for url in urls:

                async def answer(url: str = url) -> bool | None:
                    try:
                        return True if (await client.get(url)).is_success else None
                    except httpx.TransportError:
                        return None

                await eventually(answer, ANSWER_SECONDS, f"an answer at {url}")

    def has_application(self) -> bool:
        return self.deployment.said_in("server", "sh", "-c", f"cat {APPLICATION} || echo none") == "rows\n"


@pytest.fixture(scope="module")
def stack(deployment: Deployment) -> Stack:
    made = Stack(deployment)
    made.rest()
    made.fill()
    return made


@dataclass(frozen=True)
class Seen:
    rows: dict[str, str]
    kept: object
    streams: dict[str, list[str]]

    @classmethod
    def of(cls, stack: Stack) -> Seen:
        return cls(stack.rows(), stack.kept_stream(), stack.streams())

    def assert_is_in(self, stack: Stack, *, but: set[str]) -> None:
        assert len(self.rows) > 10
        assert "kept:stream" in self.streams
        now = Seen.of(stack)
        different = {table for table, digest in self.rows.items() if now.rows.get(table) != digest}
        assert different <= but, (self.rows, now.rows)
        assert now.kept == self.kept
        lost = {key: ids for key, ids in self.streams.items() if not set(ids) <= set(now.streams.get(key, []))}
        assert lost == {}


CUTTING_DOCKER = """#!/bin/sh
case "$*" in
  *"{word}"*) {docker} "$@" | head -c 100 ;;
  *) exec {docker} "$@" ;;
esac
"""


@pytest.mark.parametrize(("word", "file"), [("pg_dump", "postgres.dump"), ("cat /data/backup", "redis.rdb")])
def test_what_comes_cut_short_out_of_a_container_is_no_backup(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, file: str
) -> None:
    cutting, folder = tmp_path / "docker", stack.deployment.env.parent / f"cut-{file}"
    cutting.write_text(CUTTING_DOCKER.format(word=word, docker=shutil.which("docker")))
    cutting.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(AssertionError, match=f"{file} came incomplete"):
        stack.control("stack.sh", "backup", str(folder))
    assert not folder.exists()


async def test_a_backup_restores_the_same_rows_streams_and_applications_after_a_wipe(stack: Stack) -> None:
    stack.fill_application()
    before = Seen.of(stack)
    folder = stack.deployment.env.parent / "backup"
    shutil.rmtree(folder, ignore_errors=True)
    stack.control("stack.sh", "backup", str(folder))
    stack.control("stack.sh", "down", "wipe")
    # Nobody prepares the server, so it is not ready before it is restored.
    stack.begin("redis", "api", "registration", "server")
    assert stack.sql("SELECT count(*) FROM projects") == "0"
    assert not stack.has_application()
    stack.control("stack.sh", "restore", str(folder))
    before.assert_is_in(stack, but=set())
    assert stack.has_application()
    await stack.until_applications_answer()


def test_down_and_up_keep_the_data_and_a_server_that_lost_its_folder_is_prepared_again(stack: Stack) -> None:
    before = Seen.of(stack)
    stack.control("stack.sh", "down")
    docker("volume", "rm", f"{stack.deployment.project}_server")
    stack.begin(*WITH_A_SERVER)
    stack.control("stack.sh", "wait")  # for the server's daemon as well, which only a prepared folder holds
    # The server's row says when it was prepared, and asking for that is an event.
    before.assert_is_in(stack, but={"servers", "outbox"})
