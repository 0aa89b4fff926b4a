"""Worker containers on a real engine: scripts/docker/test_backend.sh builds the images and sweeps what is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from docker.models.containers import Container
from redis import Redis

import docker
from local_stack.testing.deployment import Deployment
from shared.testing.api_process import service_token
from tests.integration.backend.bench import RUN_LABEL, Bench, TestRun, until
from tests.integration.backend.stack import COMPOSE, Stack


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


def address(container: Container, network: str) -> str:
    """Return where this host reaches a container."""
    container.reload()
    found: str = container.attrs["NetworkSettings"]["Networks"][network]["IPAddress"]
    return found


@pytest.fixture(scope="session")
def deployment() -> Deployment:
    if "BACKEND_STACK" not in os.environ:
        pytest.skip("no services: `make test-integration-backend` starts them")
    return Deployment.of(Path(os.environ["BACKEND_STACK"]))


@pytest.fixture(scope="session")
def stack(deployment: Deployment, docker_client: docker.DockerClient) -> Iterator[Stack]:
    network = f"{deployment.project}_workers"

    def host(service: str) -> str:
        labels = [f"{COMPOSE}.project={deployment.project}", f"{COMPOSE}.service={service}"]
        (container,) = docker_client.containers.list(filters={"label": labels})
        return address(container, network)

    settings = deployment.settings
    token = service_token("test", settings["API_JWT_SECRET"])
    model_key = settings["EMULATED_ANTHROPIC_KEY"]
    with Redis(host=host("redis"), password=settings["REDIS_PASSWORD"], socket_timeout=10) as redis:
        yield Stack(docker_client, deployment.project, redis, f"http://{host('api')}:8000", token, model_key)


@pytest.fixture
def cleanup_worker_containers(stack: Stack) -> Iterator[Stack]:
    """The stack; workers a test had created are deleted after it, and nothing of them is left."""
    before = len(stack.created)
    yield stack
    for worker_id in stack.created[before:]:
        assert stack.delete(worker_id).success
        with pytest.raises(docker.errors.NotFound):
            stack.container(worker_id)
