"""The doctor tells what there is for containers, and nobody fails without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_stack.engine import engine_findings

pytestmark = pytest.mark.service


def _program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _found(path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[bool, str]]:
    monkeypatch.setenv("PATH", f"{path}:/bin")
    return {finding.name: (finding.ok, finding.detail) for finding in engine_findings()}


def test_no_docker_at_all_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = engine_findings()
    assert finding.ok
    assert "scripts/docker/engine.sh" in finding.detail


def test_an_engine_that_does_not_answer_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path, "docker", "exit 1")
    ok, detail = _found(tmp_path, monkeypatch)["docker engine"]
    assert ok
    assert "does not answer" in detail


def test_the_older_compose_is_found_when_there_is_no_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path, "docker", '[ "$1" = version ] && echo 20.10.24')
    _program(tmp_path, "docker-compose", "echo 1.29.2")
    found = _found(tmp_path, monkeypatch)
    assert found == {"docker engine": (True, "20.10.24"), "docker compose": (True, "1.29.2")}
