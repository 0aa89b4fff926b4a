"""Every test is run by some target, and continuous integration calls the targets people call."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
SERVICES = {path.parent.name for path in ROOT.glob("services/*/Dockerfile")}
TARGETS_OF_LEVELS = {"unit": "test-unit", "service": "test-service", "libraries": "test-libraries"}
PLACES_OF_OTHERS = {
    "tests/e2e": "Makefile",
    "tests/e2e_compose": "scripts/docker/test_stack.sh",
    "tests/lifecycle": "scripts/docker/test_stack.sh",
    "tests/benchmarks": "scripts/test.sh",
    "tests/integration/backend": "scripts/docker/test_backend.sh",
}


def _jobs() -> dict[str, dict[str, Any]]:
    jobs: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    return jobs


def _collected() -> list[tuple[str, str]]:
    """Return (level, folder) of everything the levels collect."""
    command = [str(ROOT / "scripts/test_level.sh"), "paths"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    return [(level, folder) for level, folder in (line.split() for line in said.splitlines())]


def _recipe(target: str) -> str:
    """Return what make would run; a target that does not exist fails."""
    command = ["make", "--no-print-directory", "-n", target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, f"{target}: {done.stderr}"
    return done.stdout


def _assert_is_there(target: str) -> None:
    recipe = _recipe(target)
    found = re.search(r"test_level\.sh (unit|component|service) (\S+)", recipe)
    if found:
        level, member = found.groups()
        folders = {folder for _, folder in _collected()}
        places = {f"{place}{member}/tests/{level}" for place in ("services/", "packages/", "")}
        assert places & folders, f"{target} has no tests"


@pytest.mark.parametrize("name", sorted(_jobs()))
def test_a_job_calls_one_target_that_exists(name: str) -> None:
    commands = [step["run"] for step in _jobs()[name]["steps"] if "run" in step]
    assert len(commands) == 1, commands
    words = commands[0].split()
    assert (words[0], len(words)) == ("make", 2), commands
    _assert_is_there(words[1])


def test_the_jobs_that_others_name_are_there() -> None:
    assert {"build-worker-wrapper", "build-worker-base", "test-worker-wrapper-unit"} <= set(_jobs())
    for job in _jobs().values():
        assert set(job.get("needs", [])) <= set(_jobs())


def test_every_folder_with_tests_is_collected_by_a_target() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*test_*.py"], cwd=ROOT, capture_output=True
    )
    files = [Path(name) for name in listed.stdout.decode().split() if Path(name).name.startswith("test_")]
    template = "services/scaffolder/src/scaffolder/template/"
    ours = [
        file
        for file in files
        if not str(file).startswith((template, "tests_legacy/")) and "scenarios" not in file.parts
    ]
    assert len(ours) > 100
    folders = [folder for _, folder in _collected()]
    assert [str(file) for file in ours if not any(file.is_relative_to(folder) for folder in folders)] == []


@pytest.mark.parametrize(("level", "folder"), _collected())
def test_what_a_level_collects_has_a_target(level: str, folder: str) -> None:
    if folder in PLACES_OF_OTHERS:
        assert folder in (ROOT / PLACES_OF_OTHERS[folder]).read_text()
    elif level == "integration":
        _recipe(f"test-integration-{Path(folder).name}")
    elif level == "component":
        _recipe(f"test-{Path(folder).parts[-3]}-component")
    else:
        assert f"test_level.sh {level}" in _recipe(TARGETS_OF_LEVELS[level])


def test_every_service_has_the_containers_of_its_service_level() -> None:
    assert {path.stem for path in ROOT.glob("docker/test/service/*.yml")} == SERVICES
    assert len(SERVICES) == 7


def test_the_whole_system_is_tested_as_production_has_it() -> None:
    laid_over = yaml.safe_load((ROOT / "docker/test/e2e/system.yml").read_text())["services"]
    production = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert set(laid_over) <= set(production)
    assert {key for service in laid_over.values() for key in service} == {"environment"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_tested_as_production_has_it(name: str) -> None:
    """The file of a level names no other image or command for the service; it may only make its rounds quicker."""
    laid_over = yaml.safe_load((ROOT / f"docker/test/service/{name}.yml").read_text())["services"]
    production = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert set(laid_over.get(name, {})) <= {"environment", "depends_on"}
    assert "image" in production[name]
    tests = laid_over["runner"]["environment"]["TESTS"]
    assert tests == f"services/{name}/tests/service"
    assert name in laid_over["runner"]["depends_on"]
