"""The module that places the daemon: what is right stays, what is wrong is replaced as a whole."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from infra_service.playbooks.library.server_folder import place

FOLDERS = [{"path": "", "mode": "0755"}, {"path": "etc", "mode": "0700"}]


def _file(content: bytes, mode: str = "0600") -> list[dict[str, str]]:
    return [{"path": "etc/key", "mode": mode, "content": base64.b64encode(content).decode()}]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that holds everything."""
    folder = tmp_path / "a" / "server"
    assert place(folder, FOLDERS, _file(b"\x00one")) == [str(folder), str(folder / "etc"), str(folder / "etc/key")]
    return folder


def test_all_is_made_with_its_mode(root: Path) -> None:
    assert (root / "etc/key").read_bytes() == b"\x00one"
    assert [_mode(path) for path in (root, root / "etc", root / "etc/key")] == [0o755, 0o700, 0o600]


def test_what_is_right_is_not_touched(root: Path) -> None:
    before = (root / "etc/key").stat()
    assert place(root, FOLDERS, _file(b"\x00one")) == []
    assert (root / "etc/key").stat() == before


@pytest.mark.parametrize("name", ["etc", "etc/key"])
def test_a_wrong_mode_alone_is_mended(root: Path, name: str) -> None:
    right = _mode(root / name)
    (root / name).chmod(0o777)
    assert place(root, FOLDERS, _file(b"\x00one")) == [str(root / name)]
    assert _mode(root / name) == right


def test_other_content_is_moved_over_the_file_and_nothing_stays_beside_it(root: Path) -> None:
    before = (root / "etc/key").stat().st_ino
    assert place(root, FOLDERS, _file(b"two")) == [str(root / "etc/key")]
    assert (root / "etc/key").read_bytes() == b"two"
    assert (root / "etc/key").stat().st_ino != before
    assert [path.name for path in (root / "etc").iterdir()] == ["key"]


def test_a_file_that_cannot_be_written_keeps_its_content(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, mode: str) -> object:
        os.close(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(OSError, match="No space left"):
        place(root, FOLDERS, _file(b"two"))
    assert (root / "etc/key").read_bytes() == b"\x00one"
    assert [path.name for path in (root / "etc").iterdir()] == ["key"]


def test_a_new_file_is_never_readable_by_more_than_it_says(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    replace: Callable[[Path, Path], Path] = Path.replace

    def noting(self: Path, target: Path) -> Path:
        seen.append(_mode(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noting)
    place(root, FOLDERS, _file(b"two"))
    assert seen == [0o600]
