"""What every runtime owes its caller: one suite, run against the fake, real processes and, where one is, an engine."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

import docker
from worker_manager.container_config import WorkerContainerConfig
from worker_manager.docker_images import ImageOptions, ImageStore
from worker_manager.docker_ops import DockerClientWrapper
from worker_manager.errors import RuntimeFailed
from worker_manager.runtime.docker import DockerRuntime, DockerRuntimeOptions
from worker_manager.runtime.fake import FakeRuntime
from worker_manager.runtime.port import InstanceState, RuntimeEvent, RuntimeEventKind, WorkerRuntime, WorkerSpec
from worker_manager.runtime.process import ProcessRuntime, ProcessRuntimeOptions
from worker_manager.testing import folder_for_workers

pytestmark = pytest.mark.service

# Names of containers are the engine's: nobody else who runs this suite at the same time has this one.
W1 = f"w{uuid4().hex[:8]}"
# Ends with 0 when asked to, as a wrapper does.
SLEEPER = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True); signal.pause()"
)


def spec(worker_id: str = W1) -> WorkerSpec:
    return WorkerSpec(
        worker_id=worker_id,
        image=f"{os.environ.get('WORKER_IMAGES', 'any')}/worker-base",
        container=WorkerContainerConfig(worker_id, "developer", "mock"),
        environment={"WORKER_ID": worker_id},
        labels={"worker_id": worker_id, "name": "n"},
    )


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with folder_for_workers() as folder:
        yield folder


@contextmanager
def engine_network() -> Iterator[tuple[DockerRuntimeOptions, str]]:
    """Yield options for containers in a network of their own, and the image of scripts/docker/test_backend.sh."""
    if "WORKER_IMAGES" not in os.environ:
        pytest.skip("no worker images: `make test-integration-backend` builds them")
    name = f"codegen-contract-{uuid4().hex[:8]}"
    labels = {"codegen.test": os.environ.get("CODEGEN_TEST_RUN", "by-hand")}
    client = docker.from_env()
    network = client.networks.create(name, labels=labels)
    try:
        yield (
            DockerRuntimeOptions(name, name, entrypoint=("python3", "-I", "-S", "-c", SLEEPER)),
            f"{os.environ['WORKER_IMAGES']}/worker-base",
        )
    finally:
        network.remove()
        client.close()


@pytest.fixture
def engine_runtime() -> Iterator[DockerRuntime]:
    with engine_network() as (options, image):
        engine = DockerClientWrapper()
        images = ImageStore(engine, ImageOptions(options.installation, image, image))
        yield DockerRuntime(engine, images, options)


@pytest.fixture(params=["fake", "process", "docker"])
async def runtime(request: pytest.FixtureRequest, open_folder: Path) -> AsyncIterator[WorkerRuntime]:
    chosen: WorkerRuntime = FakeRuntime()
    if request.param == "docker":
        chosen = request.getfixturevalue("engine_runtime")
    if request.param == "process":
        chosen = ProcessRuntime(
            ProcessRuntimeOptions(
                root=open_folder / "workers",
                command=(sys.executable, "-I", "-S", "-c", SLEEPER),
                python=sys.executable,
                environment={"PATH": "/usr/bin:/bin"},
                is_privileged=os.geteuid() == 0,
            )
        )
    await chosen.open()
    yield chosen
    for instance in await chosen.list():
        await chosen.remove(instance.worker_id)
    await chosen.close()


async def started(runtime: WorkerRuntime, worker_id: str = W1) -> None:
    await runtime.create(spec(worker_id))
    await runtime.start(worker_id)


async def next_death(runtime: WorkerRuntime) -> RuntimeEvent:
    async with asyncio.timeout(10):
        async for event in runtime.events():
            if event.kind is RuntimeEventKind.DIED:
                return event
    raise AssertionError("the events ended")


async def test_a_worker_is_created_started_and_described_by_its_labels(runtime: WorkerRuntime) -> None:
    created = await runtime.create(spec())
    assert created.state is InstanceState.CREATED
    assert not created.is_live
    running = await runtime.start(W1)
    assert running.state is InstanceState.RUNNING
    assert running.labels == {"worker_id": W1, "name": "n"}
    assert await runtime.list() == [running]


async def test_creating_and_starting_again_changes_nothing(runtime: WorkerRuntime) -> None:
    await started(runtime)
    before = await runtime.inspect(W1)
    await started(runtime)
    assert await runtime.inspect(W1) == before


async def test_an_unknown_worker_is_none_and_cannot_start(runtime: WorkerRuntime) -> None:
    assert await runtime.inspect("w9") is None
    with pytest.raises(RuntimeFailed):
        await runtime.start("w9")


async def test_stop_ends_it_and_tells_how(runtime: WorkerRuntime) -> None:
    await started(runtime)
    await runtime.stop(W1, grace_seconds=10)
    instance = await runtime.inspect(W1)
    assert instance is not None
    assert instance.state is InstanceState.EXITED
    assert instance.exit_code in (0, 143)
    assert instance.ended_at is not None
    assert (await next_death(runtime)).exit_code == instance.exit_code
    await runtime.stop(W1, grace_seconds=1)


async def test_stop_and_remove_of_what_is_not_there_are_no_errors(runtime: WorkerRuntime) -> None:
    await runtime.stop("w9", grace_seconds=1)
    await runtime.remove("w9")


async def test_remove_leaves_nothing_and_the_id_can_be_used_again(runtime: WorkerRuntime) -> None:
    await started(runtime)
    await runtime.remove(W1)
    assert await runtime.list() == []
    await started(runtime)
    instance = await runtime.inspect(W1)
    assert instance is not None
    assert instance.is_live


async def test_a_worker_that_ended_is_not_started_again(runtime: WorkerRuntime) -> None:
    await started(runtime)
    await runtime.stop(W1, grace_seconds=10)
    assert (await runtime.create(spec())).state is InstanceState.EXITED
    assert (await runtime.start(W1)).state is InstanceState.EXITED


async def test_a_worker_pauses_and_goes_on(runtime: WorkerRuntime) -> None:
    same_host = runtime.same_host
    assert same_host is not None
    await started(runtime)
    await same_host.pause(W1)
    paused = await runtime.inspect(W1)
    assert paused is not None
    assert paused.state is InstanceState.PAUSED
    assert paused.is_live
    await same_host.unpause(W1)
    running = await runtime.inspect(W1)
    assert running is not None
    assert running.state is InstanceState.RUNNING


async def test_a_paused_worker_can_be_stopped(runtime: WorkerRuntime) -> None:
    assert runtime.same_host is not None
    await started(runtime)
    await runtime.same_host.pause(W1)
    await runtime.stop(W1, grace_seconds=10)
    instance = await runtime.inspect(W1)
    assert instance is not None
    assert instance.state is InstanceState.EXITED


async def test_a_command_runs_inside_a_live_worker_only(runtime: WorkerRuntime) -> None:
    assert runtime.same_host is not None
    await started(runtime)
    assert (await runtime.same_host.exec(W1, ["true"])).exit_code == 0
    await runtime.stop(W1, grace_seconds=10)
    with pytest.raises(RuntimeFailed):
        await runtime.same_host.exec(W1, ["true"])


async def test_the_events_end_when_the_runtime_is_closed(runtime: WorkerRuntime) -> None:
    await started(runtime)
    await runtime.remove(W1)
    await runtime.close()
    async with asyncio.timeout(5):
        kinds = [event.kind async for event in runtime.events()]
    assert RuntimeEventKind.STARTED in kinds
