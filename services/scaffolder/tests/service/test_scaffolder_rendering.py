"""Rendering by a real copier in a child process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import JsonValue

from scaffolder.errors import DeadlineExceeded, TemplateRejected, TemplateUnavailable
from scaffolder.processes import Command, run
from scaffolder.rendering import Renderer, Template
from scaffolder.settings import BUNDLED_TEMPLATE, child_environment
from shared.testing.processes import is_running
from shared.testing.waiting import eventually

pytestmark = pytest.mark.service
ANSWERS: Mapping[str, JsonValue] = {"project_name": "birds", "description": "", "modules": ["backend"]}


def _renderer(location: Path | str) -> Renderer:
    return Renderer(Template(str(location)), child_environment())


async def test_answers_are_data(tmp_path: Path) -> None:
    answers: dict[str, JsonValue] = {**ANSWERS, "description": "{{ 7 * 7 }} {% raw %} `id` $(id)"}
    await _renderer(BUNDLED_TEMPLATE).render(answers, tmp_path / "tree", tmp_path)
    readme = (tmp_path / "tree" / "README.md").read_text()
    assert "{{ 7 * 7 }} {% raw %} `id` $(id)" in readme


async def test_a_wrong_answer_is_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(TemplateRejected, match="project_name"):
        await _renderer(BUNDLED_TEMPLATE).render({**ANSWERS, "project_name": "../up"}, tmp_path / "tree", tmp_path)


async def test_a_template_with_tasks_is_refused(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()
    (template / "copier.yml").write_text("_tasks:\n  - touch /tmp/never\n")
    with pytest.raises(TemplateRejected, match="UnsafeTemplate"):
        await _renderer(template).render(ANSWERS, tmp_path / "tree", tmp_path)


async def test_an_absent_template_is_an_error(tmp_path: Path) -> None:
    with pytest.raises((TemplateUnavailable, TemplateRejected)):
        await _renderer(tmp_path / "nothing").render(ANSWERS, tmp_path / "tree", tmp_path)


async def test_a_child_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "hidden")
    out = await run(Command(["env"], tmp_path, child_environment(), 10))
    assert "hidden" not in out
    assert f"PATH={os.environ['PATH']}" in out


async def test_a_slow_command_is_ended_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid_file}; wait"
    with pytest.raises(DeadlineExceeded):
        await run(Command(["sh", "-c", script], tmp_path, child_environment(), 0.5))
    child = int(pid_file.read_text())
    await eventually(lambda: not is_running(child), 5)
