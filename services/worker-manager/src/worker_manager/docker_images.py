"""Worker images on a Docker engine: built when missing, one build at a time, checked before their name is given."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.logging import get_logger, redact
from worker_manager.agents import AGENTS
from worker_manager.container_config import CONTAINER_HOME, CONTAINER_UID
from worker_manager.docker_ops import BUILD_SILENCE_SECONDS, DockerClientWrapper
from worker_manager.errors import ImageFailed, RuntimeFailed
from worker_manager.image_builder import BUILD_LABEL, ENVIRONMENT_LABEL, ImageBuilder, ImageRecipe
from worker_manager.image_gc import GarbagePolicy, StoredImage, choose_garbage

SOURCE_LABEL = "codegen.source"
CANDIDATE_SUFFIX = "-candidate"
LAST_LINES = 20
HOW_TO_MAKE = "scripts/docker/images.sh worker-base worker-fetch makes it"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What images are named and made of.

    `settings_dir` holds the package-client settings of the building host, for fetch stages. `silence` is how long a
    step of a build may take: what has stood still for longer was left by an engine that died.
    """

    prefix: str
    base: str
    fetch: str
    settings_dir: Path | None = None
    silence: timedelta = timedelta(seconds=BUILD_SILENCE_SECONDS)


class ImageStore:
    """Answers with an image that has been checked, or ImageFailed with the builder's last words."""

    def __init__(self, engine: DockerClientWrapper, options: ImageOptions) -> None:
        self._engine = engine
        self._options = options
        self._building = asyncio.Lock()

    async def ensure(self, recipe: ImageRecipe) -> str:
        """Return the name of the image of a recipe, built when it is missing."""
        builder = await self._builder()
        tag = builder.tag(recipe)
        if await self._engine.image(tag) is not None:
            return tag
        # One at a time: a second request for the same image finds what the first one built.
        async with self._building:
            if await self._engine.image(tag) is None:
                await self._build(builder, recipe, tag)
        return tag

    async def stored(self) -> list[StoredImage]:
        """Return the images of this prefix; others are not seen."""
        found = await self._engine.images(f"{ENVIRONMENT_LABEL}={self._options.prefix}")
        ours = (f"{self._options.prefix}:", f"{self._options.prefix}-agent:")
        return [
            StoredImage(name, datetime.fromtimestamp(image["Created"], UTC), image["Size"])
            for image in found
            for name in image["RepoTags"] or ()
            if name.startswith(ours) and not name.endswith(CANDIDATE_SUFFIX)
        ]

    async def collect(
        self, last_used: Mapping[str, datetime], now: datetime, policy: GarbagePolicy, *, is_dry_run: bool = False
    ) -> list[str]:
        """Delete the images nobody needs any more, unless a container does; return their names."""
        async with self._building:
            names = [image.name for image in choose_garbage(await self.stored(), last_used, now, policy)]
            if is_dry_run:
                return names
            gone = [name for name in names if await self._engine.remove_image(name)]
        for name in gone:
            log.info("an unused worker image is deleted", image=name)
        return gone

    async def _builder(self) -> ImageBuilder:
        base = await self._engine.image(self._options.base)
        if base is None:
            raise ImageFailed(f"there is no image {self._options.base}: {HOW_TO_MAKE}")
        digest = (base["Config"]["Labels"] or {}).get(SOURCE_LABEL) or base["Id"]
        return ImageBuilder(self._options.prefix, digest, self._options.prefix)

    async def _build(self, builder: ImageBuilder, recipe: ImageRecipe, tag: str) -> None:
        candidate, agent = tag + CANDIDATE_SUFFIX, builder.agent_tag(recipe.agent_type)
        log.info("building a worker image", image=tag, agent=recipe.agent_type.value)
        try:
            if AGENTS[recipe.agent_type].binary and await self._engine.image(agent) is None:
                await self._make(builder.agent_dockerfile(recipe.agent_type), agent, agent)
            await self._make(builder.dockerfile(recipe), candidate, agent)
            await self._check(recipe, candidate, tag)
            await self._engine.tag(candidate, tag)
        except RuntimeFailed as error:
            raise ImageFailed(f"image {tag} could not be built: {error}") from error
        finally:
            await self._clear(candidate)
        log.info("a worker image is built", image=tag)

    async def _make(self, dockerfile: str, name: str, agent: str) -> None:
        """Build one image; ImageFailed with the last lines of what the builder said."""
        context = await asyncio.to_thread(_context, dockerfile, self._options.settings_dir)
        arguments = {"BASE_IMAGE": self._options.base, "FETCH_IMAGE": self._options.fetch, "AGENT_IMAGE": agent}
        used = {name: value for name, value in arguments.items() if f"ARG {name}\n" in dockerfile}
        is_built, lines = await self._engine.build(context, name, used)
        if not is_built:
            raise ImageFailed(f"image {name} could not be built: {_last(lines)}")

    async def _check(self, recipe: ImageRecipe, candidate: str, tag: str) -> None:
        """Let the wrapper of the new image say whether a worker could start in it, hardened as a worker is."""
        code, output = await self._engine.run_once(
            {
                "image": candidate,
                "entrypoint": ["worker-wrapper", "healthcheck"],
                "environment": {"AGENT_TYPE": recipe.agent_type.value},
                "labels": {BUILD_LABEL: self._options.prefix},
                "network_mode": "none",
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges"],
                "read_only": True,
                "tmpfs": {
                    "/tmp": "rw,exec,mode=1777",  # noqa: S108 - a mount point inside the container
                    CONTAINER_HOME: f"rw,exec,uid={CONTAINER_UID},gid={CONTAINER_UID},mode=700",
                },
            }
        )
        if code != 0:
            raise ImageFailed(f"image {tag} was built, but no worker can start in it: {_last(output.splitlines())}")

    async def _clear(self, candidate: str) -> None:
        """Remove what a build leaves: its name for trial, and stages, which hold the host's settings."""
        label = f"{BUILD_LABEL}={self._options.prefix}"
        try:
            await self._engine.remove_image(candidate)
            # The container of a step that the engine did not survive keeps its stage.
            for step in await self._engine.containers([label]):
                age = datetime.now(UTC) - datetime.fromisoformat(step["Created"])
                if not step["State"]["Running"] and age > self._options.silence:
                    await self._engine.remove(step["Id"])
            await self._engine.prune_images(label)
        except RuntimeFailed as error:
            log.warning("what a build left is still there", image=candidate, error=str(error))


def _last(lines: list[str]) -> str:
    said = [line.strip() for line in lines if line.strip()]
    return redact(" | ".join(said[-LAST_LINES:]))


def _context(dockerfile: str, settings_dir: Path | None) -> bytes:
    """Return the build context: the Dockerfile and `host/`, which is there even where no settings are given."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        data = dockerfile.encode()
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
        folder = tarfile.TarInfo("host")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(folder)
        if settings_dir is not None:
            for path in sorted(settings_dir.rglob("*")):
                archive.add(path, f"host/{path.relative_to(settings_dir)}", recursive=False)
    return buffer.getvalue()
