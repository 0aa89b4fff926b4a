"""The followers of a run share frames; whoever is behind reads the rows."""

from __future__ import annotations

import asyncio

from orchestrator_api.events.hub import KEPT_FRAMES, Frame, Topic


def frame(seq: int, *, is_last: bool = False) -> Frame:
    return Frame(seq, b"%d" % seq, is_last=is_last)


def seqs(frames: list[Frame] | None) -> list[int] | None:
    return None if frames is None else [item.seq for item in frames]


def test_nothing_is_known_before_somebody_has_read_the_rows() -> None:
    topic = Topic()
    assert topic.frames_from(1) is None
    topic.add(frame(1))
    assert topic.frames_from(1) is None


def test_a_follower_gets_what_is_new_and_repeats_are_dropped() -> None:
    topic = Topic()
    topic.start_after(4)
    topic.start_after(2)
    for seq in (4, 5, 6, 6, 7):
        topic.add(frame(seq))
    assert seqs(topic.frames_from(5)) == [5, 6, 7]
    assert seqs(topic.frames_from(7)) == [7]
    assert topic.frames_from(8) == []
    assert topic.frames_from(4) is None


def test_old_frames_are_forgotten_and_their_reader_sent_to_the_rows() -> None:
    topic = Topic()
    topic.start_after(0)
    for seq in range(1, KEPT_FRAMES + 11):
        topic.add(frame(seq))
    assert topic.frames_from(10) is None
    assert seqs(topic.frames_from(11)) == list(range(11, KEPT_FRAMES + 11))


async def test_waking_lets_everybody_look_again_once() -> None:
    topic = Topic()
    before = topic.changed
    waiter = asyncio.create_task(before.wait())
    topic.wake()
    assert await waiter
    assert not topic.changed.is_set()


def test_the_last_frame_ends_the_topic() -> None:
    topic = Topic()
    topic.start_after(0)
    topic.add(frame(1, is_last=True))
    assert topic.is_finished
