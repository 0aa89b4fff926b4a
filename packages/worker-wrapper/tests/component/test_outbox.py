"""Answers that survive a process."""

from __future__ import annotations

from pathlib import Path

from worker_wrapper.outbox import MOST_KEPT, DiskOutbox
from worker_wrapper.transcript import Transcript


def test_an_unsent_answer_is_found_by_the_next_process(tmp_path: Path) -> None:
    DiskOutbox(tmp_path / "outbox").keep("r/1:é", "{}", is_sent=False)
    later = DiskOutbox(tmp_path / "outbox")
    assert [kept.request_id for kept in later.unsent()] == ["r/1:é"]
    later.keep("r/1:é", "{}", is_sent=True)
    assert DiskOutbox(tmp_path / "outbox").unsent() == []
    found = DiskOutbox(tmp_path / "outbox").find("r/1:é")
    assert found is not None
    assert found.is_sent


def test_files_are_private_and_few(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path)
    for number in range(MOST_KEPT + 5):
        outbox.keep(f"r-{number}", "{}", is_sent=True)
    files = list(tmp_path.glob("*.json"))
    assert len(files) == MOST_KEPT
    assert files[0].stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_cut_off_is_no_answer(tmp_path: Path) -> None:
    DiskOutbox(tmp_path).keep("r-1", "{}", is_sent=False)
    next(tmp_path.glob("*.json")).write_text('{"request_id": "r-')
    assert DiskOutbox(tmp_path).find("r-1") is None
    assert DiskOutbox(tmp_path).unsent() == []


def test_without_a_disk_an_answer_lives_in_memory(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    outbox = DiskOutbox(blocked / "outbox")
    outbox.keep("r-1", "{}", is_sent=False)
    assert outbox.find("r-1") is not None


def test_a_transcript_stays_below_its_limit_and_keeps_the_end(tmp_path: Path) -> None:
    path = tmp_path / "transcript.jsonl"
    transcript = Transcript(path, lambda text: text, limit_bytes=1000)
    for number in range(500):
        transcript.add(f"line {number}")
    assert path.stat().st_size <= 1000
    assert path.read_text().endswith("line 499\n")
    assert path.read_text().startswith("line ")
