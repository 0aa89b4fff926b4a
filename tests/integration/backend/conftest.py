"""Worker containers on a real engine: scripts/docker/test_backend.sh builds the images and sweeps what is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest
from redis import Redis

import docker
from tests.integration.backend.bench import RUN_LABEL, Bench, TestRun, until


@pytest.fixture(scope="session")
def test_run() -> TestRun:
    if "WORKER_IMAGES" not in os.environ:
        pytest.skip("no worker images: `make test-worker-base-integration` builds them")
    return TestRun(os.environ["WORKER_IMAGES"], os.environ.get("CODEGEN_TEST_RUN", "by-hand"))


@pytest.fixture(scope="session")
def docker_client(test_run: TestRun) -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def bench(docker_client: docker.DockerClient, test_run: TestRun) -> Iterator[Bench]:
    labels = {RUN_LABEL: test_run.label}
    network = docker_client.networks.create(f"codegen-test-{uuid4().hex[:8]}", labels=labels)
    assert network.name is not None
    server = docker_client.containers.run(
        test_run.image("redis"),
        entrypoint=["redis-server", "--save", "", "--protected-mode", "no"],
        labels=labels,
        detach=True,
    )
    try:
        network.connect(server, aliases=["redis"])
        server.reload()
        address = server.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"]
        with Redis(host=address, socket_timeout=10) as redis:
            until(redis.ping, "the Redis of the tests answers")
            yield Bench(docker_client, test_run, network.name, redis)
    finally:
        for container in docker_client.containers.list(all=True, filters={"network": network.name}):
            container.remove(force=True, v=True)
        network.remove()


@pytest.fixture
def worker_id() -> str:
    return f"w{uuid4().hex[:12]}"
