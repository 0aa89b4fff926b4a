"""The image every worker is made of: what runs in it first, what it holds, how it ends, what it is kept from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from docker.models.containers import Container

from shared.contracts.queues.workers import DeveloperWorkerInput
from tests.integration.backend.bench import Bench, run_in, until
from worker_manager.container_config import WorkerContainerConfig

pytestmark = [pytest.mark.integration]
GRACE_SECONDS = 20


@pytest.fixture(scope="module")
def plain(bench: Bench) -> Iterator[Container]:
    """One worker that the tests which only look share."""
    container = bench.worker("wlooked-at")
    yield container
    container.remove(force=True, v=True)


@pytest.fixture(scope="module")
def hardened(bench: Bench) -> Iterator[Container]:
    """A worker as worker-manager starts it."""
    config = WorkerContainerConfig("whardened", "developer", "mock", network_name=bench.network)
    environment = config.to_env_vars("redis://redis:6379/0", "http://api:8000")
    kwargs: Any = config.to_docker_run_kwargs(bench.run.image("worker-base"), environment)
    container = bench.worker("whardened", **{k: v for k, v in kwargs.items() if k not in ("image", "labels", "name")})
    until(lambda: bench.lifecycle("whardened"), "the hardened worker starts")
    yield container
    container.remove(force=True, v=True)


def said(container: Container, *command: str) -> str:
    """Return what a command inside says; it has to succeed."""
    code, output = run_in(container, *command)
    assert code == 0, output
    return output


def test_the_wrapper_is_the_first_process(plain: Container) -> None:
    assert said(plain, "cat", "/proc/1/cmdline").split("\0")[:3] == ["python3", "-m", "worker_wrapper"]


def test_the_command_line_of_agents_is_on_the_path_and_node_is_not(plain: Container) -> None:
    assert said(plain, "which", "orchestrator")
    assert "project" in said(plain, "orchestrator", "--help")
    assert plain.exec_run(["which", "node"])[0] != 0


def test_it_says_that_it_has_started(bench: Bench, plain: Container) -> None:
    until(lambda: bench.lifecycle("wlooked-at"), "the worker tells that it started")
    assert bench.lifecycle("wlooked-at") == ["started"]


def test_nothing_in_it_runs_as_root(plain: Container) -> None:
    assert said(plain, "id", "-u") == "10001"
    assert "Uid:\t10001\t10001" in said(plain, "cat", "/proc/1/status")


def test_nothing_of_the_building_host_is_in_it(bench: Bench, plain: Container) -> None:
    image = bench.client.images.get(bench.run.image("worker-base"))
    assert image.labels["codegen.source"]
    places = ["/fetch", "/etc/apt/auth.conf.d/*", "/etc/pip.conf", "/home/worker/.npmrc", "/src"]
    assert said(plain, "sh", "-c", f"ls -d {' '.join(places)} 2>/dev/null || true") == ""


def test_asked_to_end_it_says_goodbye_and_ends_with_0(bench: Bench, worker_id: str) -> None:
    container = bench.worker(worker_id)
    until(lambda: bench.lifecycle(worker_id), "the worker starts")
    container.stop(timeout=GRACE_SECONDS)
    assert container.wait()["StatusCode"] == 0, container.logs().decode()
    assert bench.lifecycle(worker_id) == ["started", "stopped"]
    container.remove(v=True)


def test_asked_to_end_over_a_message_it_hands_the_message_back(bench: Bench, worker_id: str) -> None:
    stream = f"worker:developer:{worker_id}:input"
    message = DeveloperWorkerInput(request_id=f"r-{worker_id}", task_id="t", project_id="p", prompt="take your time")
    bench.redis.xadd(stream, {"data": message.model_dump_json()})
    container = bench.worker(worker_id, {"AGENT_COMMAND": "sleep 60", "WORKER_POOLED": "0"})
    until(lambda: bench.redis.hget(f"worker:status:{worker_id}", "claimed_at"), "the message is taken")
    container.stop(timeout=GRACE_SECONDS)
    assert container.wait()["StatusCode"] == 0, container.logs().decode()
    pending: Any = bench.redis.xpending(stream, "worker-wrapper")
    assert pending["pending"] == 1
    assert bench.redis.exists("worker:developer:output") == 0
    container.remove(v=True)


def test_orphans_of_an_agent_are_reaped(plain: Container) -> None:
    plain.exec_run(["sh", "-c", "(sleep 0.2 &) ; exit 0"])
    zombies = "ps -e -o stat=,comm= | grep -c '^Z' || true"
    until(lambda: said(plain, "sh", "-c", zombies) == "0" or None, "no zombie is left")


def test_a_hardened_worker_has_no_rights_and_writes_only_where_it_may(hardened: Container) -> None:
    status = said(hardened, "cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    for place in ("/etc", "/usr/local/bin", "/opt/venv"):
        assert hardened.exec_run(["touch", f"{place}/x"])[0] != 0, place
    for place in ("/tmp", "/home/worker", "/workspace"):
        script = f"printf '#!/bin/sh\\necho ran\\n' > {place}/x && chmod +x {place}/x && {place}/x"
        assert said(hardened, "sh", "-c", script) == "ran"


def test_a_hardened_worker_is_held_to_its_limits(bench: Bench, hardened: Container) -> None:
    hardened.reload()
    limits = hardened.attrs["HostConfig"]
    assert (limits["Memory"], limits["MemorySwap"], limits["NanoCpus"]) == (512 << 20, 512 << 20, 500_000_000)
    # 256 processes and no more: the shell cannot fork the next one.
    fork = "i=0; while [ $i -lt 300 ]; do sleep 60 & i=$((i+1)); done"
    # Whatever came to be ends with it: the signal reaches this shell as well, which goes on.
    code, output = hardened.exec_run(["sh", "-c", f"sh -c '{fork}'; code=$?; trap : TERM; kill 0; exit $code"])
    assert code != 0
    assert isinstance(output, bytes)
    assert b"fork" in output


def test_a_hardened_worker_could_do_its_work(hardened: Container) -> None:
    assert '"healthy": true' in said(hardened, "worker-wrapper", "healthcheck")
