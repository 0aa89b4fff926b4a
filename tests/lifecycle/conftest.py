"""`make test-lifecycle` runs these: they take the machine for themselves and need an engine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.testing.command import share_agents
from tests.lifecycle.checkout import Checkout
from worker_wrapper.pid1 import adopt_orphans

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DEADLINE_SECONDS = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    is_asked_for = os.environ.get("COMPOSE_ALONE") == "test-lifecycle"
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(DEADLINE_SECONDS))
            item.add_marker(pytest.mark.skipif(not is_asked_for, reason="`make test-lifecycle` runs this"))


@pytest.fixture(scope="session")
def checkout() -> Iterator[Checkout]:
    root = ROOT / ".codegen/docker/test/copy"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name, follow_symlinks=False)
    (root / "scripts/bootstrap.sh").write_text("#!/bin/sh\n")
    (root / ".venv").symlink_to(ROOT / ".venv")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    made = Checkout(root)
    made.home.mkdir(exist_ok=True)
    share_agents(made.home)
    adopt_orphans()
    made.make("images")
    yield made
    shutil.rmtree(root / ".codegen/docker/secrets", ignore_errors=True)
