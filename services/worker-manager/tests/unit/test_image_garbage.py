"""Which worker images go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from worker_manager.image_gc import GarbagePolicy, StoredImage, choose_garbage

NOW = datetime(2026, 1, 31, tzinfo=UTC)
OLD = StoredImage("w:old", NOW - timedelta(days=30), 600)
NEW = StoredImage("w:new", NOW - timedelta(days=1), 600)
POLICY = GarbagePolicy(timedelta(days=7), quota_bytes=2000)


def names(*images: StoredImage, used: dict[str, datetime] | None = None, policy: GarbagePolicy = POLICY) -> list[str]:
    return [image.name for image in choose_garbage(images, used or {}, NOW, policy)]


def test_an_image_goes_after_a_week_without_use() -> None:
    assert names(OLD, NEW) == ["w:old"]


def test_an_old_image_in_use_stays() -> None:
    assert names(OLD, NEW, used={"w:old": NOW - timedelta(hours=1)}) == []


def test_an_image_built_again_counts_from_its_creation() -> None:
    assert names(NEW, used={"w:new": NOW - timedelta(days=20)}) == []


def test_above_the_quota_the_longest_unused_go_until_it_is_kept() -> None:
    used = {"w:old": NOW - timedelta(days=2), "w:new": NOW - timedelta(hours=1)}
    assert names(OLD, NEW, used=used, policy=GarbagePolicy(quota_bytes=1000)) == ["w:old"]
