"""Deletes worker images nobody used for long; the times of use are kept in Redis."""

from __future__ import annotations

from shared.infra import Clock
from worker_manager.docker_images import ImageStore
from worker_manager.image_gc import GarbagePolicy
from worker_manager.status_store import StatusStore


class ImageKeeper:
    def __init__(self, images: ImageStore, store: StatusStore, clock: Clock, policy: GarbagePolicy) -> None:
        self._images = images
        self._store = store
        self._clock = clock
        self._policy = policy

    async def drain_once(self) -> None:
        """Delete what the policy gives up."""
        uses = await self._store.image_uses()
        await self._store.forget_images(await self._images.collect(uses, self._clock.now(), self._policy))

    async def report(self) -> list[str]:
        """Return what the next round would delete; nothing is deleted."""
        uses = await self._store.image_uses()
        return await self._images.collect(uses, self._clock.now(), self._policy, is_dry_run=True)
