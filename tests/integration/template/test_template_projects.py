"""A rendered project passes its own tests and takes new files without being told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
Render = Callable[[Sequence[str]], Path]

ROUTER = """
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from app.db import Database
from app.pages import templates

router = APIRouter()
PAGE = ("Sightings", "/sightings")


@router.get("/sightings", response_class=HTMLResponse)
def show(request: Request, database: Database) -> HTMLResponse:
    rows = database.execute("SELECT bird FROM sightings ORDER BY id").fetchall()
    return templates.TemplateResponse(request, "sightings.html", {"rows": rows})


@router.post("/sightings")
def add(database: Database, bird: Annotated[str, Form(max_length=100)]) -> Response:
    database.execute("INSERT INTO sightings (bird) VALUES (?)", (bird,))
    return RedirectResponse("/sightings", status_code=303)
"""
PAGE = """{% extends "base.html" %}
{% block content %}<ul>{% for row in rows %}<li>{{ row.bird }}</li>{% endfor %}</ul>{% endblock %}
"""
TEST = """
def test_a_sighting_is_kept_and_escaped(client):
    shown = client.post("/sightings", data={"bird": "<b>Wren</b>"})
    assert shown.status_code == 200
    assert "&lt;b&gt;Wren" in shown.text
    assert "/sightings" in client.get("/").text
"""
OWN_START_PAGE = """
from fastapi import APIRouter

router = APIRouter()


@router.get("/")
def start() -> dict[str, str]:
    return {"own": "page"}
"""


def make(tree: Path, target: str, **environment: str) -> str:
    """Run a make target; returns its output, fails with it."""
    done = subprocess.run(
        ["make", target],
        cwd=tree,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_make_test_passes_in_a_fresh_copy_with_every_module(render: Render) -> None:
    tree = render(["backend", "telegram", "frontend"])
    assert "passed" in make(tree, "test")
    make(tree, "lint")


def test_make_test_passes_in_a_fresh_backend(built: tuple[Path, str]) -> None:
    _, said = built
    assert "passed" in said


def test_a_page_is_added_by_adding_files(backend: Path) -> None:
    (backend / "app/routers/sightings.py").write_text(ROUTER)
    (backend / "app/templates/sightings.html").write_text(PAGE)
    (backend / "app/migrations/0001_sightings.sql").write_text(
        "CREATE TABLE sightings (id INTEGER PRIMARY KEY, bird TEXT NOT NULL);"
    )
    (backend / "tests/test_sightings.py").write_text(TEST)
    assert "7 passed" in make(backend, "test")


def test_a_router_may_take_the_start_page(backend: Path) -> None:
    (backend / "app/routers/home.py").write_text(OWN_START_PAGE)
    (backend / "tests/test_status.py").write_text(
        'def test_own_page(client):\n    assert client.get("/").json() == {"own": "page"}\n'
    )
    make(backend, "test")


def test_a_failing_test_fails_make(backend: Path) -> None:
    (backend / "tests/test_red.py").write_text("def test_red():\n    assert False\n")
    done = subprocess.run(["make", "test"], cwd=backend, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode != 0
    assert "1 failed" in done.stdout


def test_without_uv_pip_builds_the_environment(render: Render, tmp_path: Path) -> None:
    tree = render(["backend"])
    for tool in ("make", "bash", "sha256sum", "cut", "touch", "rm"):
        found = subprocess.run(["which", tool], capture_output=True, text=True, check=True).stdout.strip()
        (tmp_path / tool).symlink_to(found)
    assert "passed" in make(tree, "test", PATH=str(tmp_path), PYTHON=os.path.realpath(sys.executable))


def test_a_changed_requirement_rebuilds_the_environment(backend: Path) -> None:
    make(backend, "lint")
    before = sorted(path.name for path in (backend / ".venv").glob(".requirements-*"))
    with (backend / "requirements.txt").open("a") as requirements:
        requirements.write("# one more line\n")
    make(backend, "lint")
    after = sorted(path.name for path in (backend / ".venv").glob(".requirements-*"))
    assert len(before) == len(after) == 1
    assert before != after
