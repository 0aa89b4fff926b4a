"""Which worker images are not worth their disk any more: unused for long, or the longest unused above the quota."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class StoredImage:
    """`size_bytes` counts layers that images share in each of them."""

    name: str
    created_at: datetime
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GarbagePolicy:
    unused_after: timedelta = timedelta(days=7)
    quota_bytes: int = 20_000_000_000


def choose_garbage(
    images: Iterable[StoredImage], last_used: Mapping[str, datetime], now: datetime, policy: GarbagePolicy
) -> list[StoredImage]:
    """Return the images to delete, the longest unused first; one that was never used counts from its creation."""

    def used_at(image: StoredImage) -> datetime:
        return max(last_used.get(image.name, image.created_at), image.created_at)

    garbage: list[StoredImage] = []
    kept = sorted(images, key=used_at)
    left = sum(image.size_bytes for image in kept)
    for image in kept:
        if now - used_at(image) > policy.unused_after or left > policy.quota_bytes:
            garbage.append(image)
            left -= image.size_bytes
    return garbage
