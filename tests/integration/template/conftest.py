"""Rendered copies of the bundled template."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydantic import JsonValue

from scaffolder.rendering import Renderer, Template
from scaffolder.settings import BUNDLED_TEMPLATE, child_environment

Render = Callable[[Sequence[str]], Path]


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
