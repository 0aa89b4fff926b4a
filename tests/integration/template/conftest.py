"""Rendered copies of the bundled template."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import JsonValue

from scaffolder.rendering import Renderer, Template
from scaffolder.settings import BUNDLED_TEMPLATE, child_environment

Render = Callable[[Sequence[str]], Path]


@pytest.fixture(scope="session", autouse=True)
def uv(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have uv on the PATH, as developers, workers and servers of the system do; one test does without."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "uv").symlink_to(Path(sys.executable).with_name("uv"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder), prepend=os.pathsep)
        yield


@pytest.fixture(scope="session")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Return a function that renders a fresh project with the given modules."""

    def rendered(modules: Sequence[str]) -> Path:
        folder = tmp_path_factory.mktemp("template")
        chosen: list[JsonValue] = list(modules)
        answers: dict[str, JsonValue] = {"project_name": "birds-nest", "description": "Birds", "modules": chosen}
        renderer = Renderer(Template(str(BUNDLED_TEMPLATE)), child_environment())
        asyncio.run(renderer.render(answers, folder / "tree", folder))
        return folder / "tree"

    return rendered


@pytest.fixture(scope="session")
def tree(render: Render) -> Path:
    """One rendered project with every module; read only."""
    return render(["backend", "telegram", "frontend"])


class Built(NamedTuple):
    """A project after its first `make lint test`, and what that printed."""

    tree: Path
    said: str


@pytest.fixture(scope="session")
def built(render: Render) -> Built:
    """A backend with the environment that make gave it; read only."""
    tree = render(["backend"])
    done = subprocess.run(["make", "lint", "test"], cwd=tree, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Built(tree, done.stdout)


@pytest.fixture
def backend(render: Render, built: Built) -> Path:
    """A rendered backend whose environment is there already, as in a checkout somebody works in."""
    tree = render(["backend"])
    shutil.copytree(built.tree / ".venv", tree / ".venv", symlinks=True, copy_function=os.link)
    for stamp in (tree / ".venv").glob(".requirements-*"):
        stamp.touch()
    return tree
