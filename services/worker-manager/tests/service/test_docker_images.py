"""Images of workers on a real engine: built once, checked, refused with the builder's words, cleared away."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

import docker
from shared.contracts.vocabulary import AgentType, WorkerCapability
from worker_manager.docker_images import ImageOptions, ImageStore
from worker_manager.docker_ops import DockerClientWrapper
from worker_manager.errors import ImageFailed
from worker_manager.image_builder import BUILD_LABEL, ImageRecipe
from worker_manager.image_gc import GarbagePolicy

pytestmark = [
    pytest.mark.service,
    pytest.mark.timeout(180),
    pytest.mark.skipif("WORKER_IMAGES" not in os.environ, reason="no worker images: make test-integration-backend"),
]
MOCK = ImageRecipe(AgentType.MOCK)


@pytest.fixture
def options() -> ImageOptions:
    """Names of this test alone on the images of scripts/docker/test_backend.sh."""
    images, name = os.environ["WORKER_IMAGES"], f"codegen-imagetest-{uuid4().hex[:8]}"
    return ImageOptions(name, f"{images}/worker-base", f"{images}/worker-fetch")


@pytest.fixture
async def engine(options: ImageOptions) -> AsyncIterator[DockerClientWrapper]:
    engine = DockerClientWrapper()
    yield engine
    for step in await engine.containers([f"{BUILD_LABEL}={options.prefix}"]):
        await engine.remove(step["Id"])
    for image in names(options):
        await engine.remove_image(image)
    await engine.close()


def names(options: ImageOptions) -> list[str]:
    client = docker.from_env()
    found = [tag for image in client.images.list(name=f"{options.prefix}") for tag in image.tags]
    client.close()
    return found


def build_stage(options: ImageOptions, name: str) -> None:
    """Make an image as a stage of a build of ours is made."""
    client = docker.from_env()
    text = f"FROM {options.base}\nLABEL {BUILD_LABEL}={options.prefix}\n"
    client.images.build(fileobj=io.BytesIO(text.encode()), tag=name, rm=True)
    client.close()


def leftovers(options: ImageOptions) -> int:
    client = docker.from_env()
    found = client.images.list(filters={"dangling": True, "label": f"{BUILD_LABEL}={options.prefix}"})
    client.close()
    return len(found)


async def test_requests_at_once_make_one_image_and_a_later_manager_finds_it(
    engine: DockerClientWrapper, options: ImageOptions
) -> None:
    store = ImageStore(engine, options)
    first, second = await asyncio.gather(store.ensure(MOCK), store.ensure(MOCK))
    assert first == second
    made = await engine.image(first)
    assert made is not None
    assert made["Config"]["Labels"]["codegen.worker.agent"] == "mock"
    assert await ImageStore(engine, options).ensure(MOCK) == first
    again = await engine.image(first)
    assert again is not None
    assert again["Id"] == made["Id"]
    assert names(options) == [first]
    assert leftovers(options) == 0


async def test_a_build_that_fails_answers_with_the_builders_last_words_and_leaves_nothing(
    engine: DockerClientWrapper, options: ImageOptions
) -> None:
    no_scripts = ImageStore(engine, replace(options, fetch=options.base))
    with pytest.raises(ImageFailed, match="COPY failed"):
        await no_scripts.ensure(ImageRecipe(AgentType.MOCK, (WorkerCapability.GIT,)))
    assert names(options) == []
    assert leftovers(options) == 0


async def test_what_a_build_left_that_its_engine_did_not_survive_goes_with_the_next(
    engine: DockerClientWrapper, options: ImageOptions
) -> None:
    label, stage = f"{BUILD_LABEL}={options.prefix}", f"{options.prefix}:stage"
    build_stage(options, stage)
    await engine.create({"name": f"{options.prefix}-step", "image": stage, "entrypoint": ["true"]}, {})
    await engine.tag(options.base, stage)  # from here on the stage has no name
    await engine.remove_image(stage)
    assert leftovers(options) == 1

    await ImageStore(engine, options).ensure(MOCK)
    assert len(await engine.containers([label])) == 1, "it may be a step of a build that goes on"
    await engine.remove_image(await ImageStore(engine, options).ensure(MOCK))
    await ImageStore(engine, replace(options, silence=timedelta(0))).ensure(MOCK)
    assert await engine.containers([label]) == []
    assert leftovers(options) == 0


async def test_an_image_no_worker_can_start_in_gets_no_name(engine: DockerClientWrapper, options: ImageOptions) -> None:
    with pytest.raises(ImageFailed):
        await ImageStore(engine, replace(options, base=options.fetch)).ensure(MOCK)
    assert names(options) == []
    assert leftovers(options) == 0


async def test_a_missing_base_says_what_makes_it(engine: DockerClientWrapper, options: ImageOptions) -> None:
    with pytest.raises(ImageFailed, match=r"images\.sh worker-base"):
        await ImageStore(engine, replace(options, base="codegen-nobody/worker-base")).ensure(MOCK)


async def test_garbage_is_told_first_and_only_ours_goes(engine: DockerClientWrapper, options: ImageOptions) -> None:
    store = ImageStore(engine, options)
    image = await store.ensure(MOCK)
    later = datetime.now(UTC) + timedelta(days=8)
    assert await store.collect({}, later, GarbagePolicy(), is_dry_run=True) == [image]
    assert names(options) == [image]
    other = ImageStore(engine, replace(options, prefix="codegen-imagetest-another"))
    assert await other.collect({}, later, GarbagePolicy()) == []
    assert await store.collect({}, later, GarbagePolicy()) == [image]
    assert names(options) == []
