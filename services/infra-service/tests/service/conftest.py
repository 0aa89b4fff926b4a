"""A real appd in a folder that every user may pass through."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra_service.testing import Appd


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder every user may pass through, as a server's root has to be."""
    folder = Path(tempfile.mkdtemp(prefix="infra-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def appd(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Appd]:
    monkeypatch.setenv("PLATFORM_SECRET", "must not leak")
    server = Appd(open_folder)
    server.configure()
    server.start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.end()
