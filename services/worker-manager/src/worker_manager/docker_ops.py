"""The Docker engine's blocking client, called from threads so that nothing here blocks the event loop.

Errors of the engine become RuntimeFailed; what does not exist is None, or nothing to do.
"""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from docker.errors import APIError, DockerException, NotFound
from docker.types.daemon import CancellableStream
from urllib3.exceptions import HTTPError

import docker
from worker_manager.container_config import CONTAINER_UID, CONTAINER_USER
from worker_manager.errors import RuntimeFailed

T = TypeVar("T")
Attributes = dict[str, Any]
CONFLICT = 409
BUILD_SILENCE_SECONDS = 900


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the client's errors into ours; `what` says what was tried."""
    try:
        yield
    except APIError as error:
        raise RuntimeFailed(f"the engine could not {what}: {error.explanation or error}") from error
    except (DockerException, HTTPError, OSError) as error:
        raise RuntimeFailed(f"the engine could not {what}: {error}") from error


class DockerClientWrapper:
    """Wraps one engine client, taken from the environment when it is constructed."""

    def __init__(self) -> None:
        with translated("be reached"):
            self._client = docker.from_env()

    async def ping(self) -> None:
        await self._call("answer", self._client.ping)

    async def exec_in_container(
        self, container_id: str, command: str | list[str], user: str = CONTAINER_USER
    ) -> tuple[int, str]:
        """Run a command in a running container; return its exit code and its output, undecodable bytes replaced."""

        def run() -> tuple[int, str]:
            result = self._client.containers.get(container_id).exec_run(command, user=user)
            # Not streamed, so both are there: the engine's client types them for streams and detached runs too.
            output = result.output if isinstance(result.output, bytes) else b""
            return -1 if result.exit_code is None else result.exit_code, output.decode(errors="replace")

        return await self._call("run a command", run)

    async def create(self, kwargs: Mapping[str, Any], files: Mapping[str, str]) -> None:
        """Create a container with files in it (path → text, owned by the worker); a failure leaves none."""

        def run() -> None:
            container = self._client.containers.create(**kwargs)
            try:
                for path, text in files.items():
                    folder, _, name = path.rpartition("/")
                    container.put_archive(folder, _archive(name, text))
            except BaseException:
                container.remove(force=True, v=True)
                raise

        await self._call("create the container", run)

    async def start(self, name: str) -> None:
        await self._call("start the container", lambda: self._client.api.start(name))

    async def signal(self, name: str, signal: str) -> bool:
        """Send a signal to the container's first process; False when nothing runs there."""

        def run() -> bool:
            try:
                self._client.api.kill(name, signal)
            except APIError as error:
                if isinstance(error, NotFound) or error.status_code == CONFLICT:
                    return False
                raise
            return True

        return await self._call(f"send {signal}", run)

    async def pause(self, name: str) -> None:
        await self._call("pause the container", lambda: self._client.api.pause(name))

    async def unpause(self, name: str) -> None:
        await self._call("unpause the container", lambda: self._client.api.unpause(name))

    async def remove(self, name: str) -> bool:
        """Kill and delete a container with its volumes; False while the engine is at it already."""

        def run() -> bool:
            try:
                self._client.api.remove_container(name, force=True, v=True)
            except NotFound:
                return True
            except APIError as error:
                if error.status_code != CONFLICT:
                    raise
                return False
            return True

        return await self._call("remove the container", run)

    async def inspect(self, name: str) -> Attributes | None:
        return await self._call("inspect the container", lambda: self._inspect(name))

    async def containers(self, labels: Sequence[str]) -> list[Attributes]:
        """Return the attributes of every container, ended ones too, that has all the labels."""

        def run() -> list[Attributes]:
            found = self._client.api.containers(all=True, filters={"label": list(labels)})
            attributes = [self._inspect(summary["Id"]) for summary in found]
            return [each for each in attributes if each is not None]

        return await self._call("list containers", run)

    def events(self, labels: Sequence[str], since: int) -> CancellableStream[Attributes]:
        """Return the events of containers with these labels since a second. Blocks: call it from a thread."""
        with translated("tell of events"):
            filters = {"type": "container", "label": list(labels)}
            return self._client.events(since=since, filters=filters, decode=True)

    async def image(self, name: str) -> Attributes | None:
        def run() -> Attributes | None:
            try:
                return dict(self._client.images.get(name).attrs)
            except NotFound:
                return None

        return await self._call("inspect the image", run)

    async def images(self, label: str) -> list[Attributes]:
        """Return a summary of every tagged image that has a label."""
        return await self._call("list images", lambda: self._client.api.images(filters={"label": label}))

    async def build(self, context: bytes, tag: str, arguments: Mapping[str, str]) -> tuple[bool, list[str]]:
        """Build an image with the classic builder; tell whether it was made, and what the builder said."""

        def run() -> tuple[bool, list[str]]:
            lines: list[str] = []
            for message in self._client.api.build(
                fileobj=io.BytesIO(context),
                custom_context=True,
                tag=tag,
                rm=True,
                forcerm=True,
                buildargs=dict(arguments),
                decode=True,
                timeout=BUILD_SILENCE_SECONDS,
            ):
                lines += message.get("stream", "").splitlines()
                if "error" in message:
                    return False, [*lines, message["error"]]
            return True, [line for line in lines if line]

        return await self._call("build the image", run)

    async def run_once(self, kwargs: Mapping[str, Any]) -> tuple[int, str]:
        """Run a container to its end and delete it; return its exit code and its output."""

        def run() -> tuple[int, str]:
            container = self._client.containers.create(**kwargs)
            try:
                container.start()
                code = int(container.wait()["StatusCode"])
                return code, container.logs().decode(errors="replace")
            finally:
                container.remove(force=True, v=True)

        return await self._call("run the container", run)

    async def tag(self, image: str, name: str) -> None:
        repository, _, tag = name.rpartition(":")
        await self._call("tag the image", lambda: self._client.api.tag(image, repository, tag, force=True))

    async def remove_image(self, name: str) -> bool:
        """Delete an image or one of its names; False when something uses it."""

        def run() -> bool:
            try:
                self._client.api.remove_image(name)
            except NotFound:
                return True
            except APIError as error:
                if error.status_code != CONFLICT:
                    raise
                return False
            return True

        return await self._call("remove the image", run)

    async def prune_images(self, label: str) -> None:
        """Delete nameless images with a label."""
        filters = {"dangling": True, "label": label}
        await self._call("prune images", lambda: self._client.images.prune(filters=filters))

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close)

    def _inspect(self, name: str) -> Attributes | None:
        try:
            return dict(self._client.api.inspect_container(name))
        except NotFound:
            return None

    async def _call(self, what: str, run: Callable[[], T]) -> T:
        with translated(what):
            return await asyncio.to_thread(run)


def _archive(name: str, text: str) -> bytes:
    data = text.encode()
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.uid, member.gid = len(data), 0o644, CONTAINER_UID, CONTAINER_UID
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
