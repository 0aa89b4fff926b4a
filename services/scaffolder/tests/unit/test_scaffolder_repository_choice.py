"""Which repository a project gets."""

from __future__ import annotations

import pytest

from scaffolder.errors import NameTaken
from scaffolder.marker import Marker
from scaffolder.repository import Repositories
from shared.contracts.dto.work import ProjectCreate, ProjectDTO, ProjectUpdate
from shared.testing.api import FakeApi
from shared.testing.github import FakeGitHub


async def _project(api: FakeApi) -> ProjectDTO:
    return await api.create_project(ProjectCreate(name="birds", owner_id="u1"))


def _marker(project_id: str) -> dict[str, str]:
    return {".project.yml": Marker(project_id, "birds", ("backend",), "bundled").text()}


async def test_a_free_name_is_created() -> None:
    github, project = FakeGitHub(), await _project(FakeApi())
    found = await Repositories(github, "acme").find_or_create(project)
    assert (found.repository.full_name, found.has_content) == ("acme/birds", False)


async def test_an_empty_repository_is_finished() -> None:
    github, project = FakeGitHub(), await _project(FakeApi())
    github.add_repository("acme/birds")
    found = await Repositories(github, "acme").find_or_create(project)
    assert (found.repository.full_name, found.has_content) == ("acme/birds", False)


async def test_the_own_repository_is_adopted() -> None:
    github, project = FakeGitHub(), await _project(FakeApi())
    github.add_repository("acme/birds", _marker(project.id))
    found = await Repositories(github, "acme").find_or_create(project)
    assert (found.repository.full_name, found.has_content) == ("acme/birds", True)


@pytest.mark.parametrize("files", [_marker("another"), {"README.md": "no marker"}])
async def test_a_foreign_repository_is_left_alone(files: dict[str, str]) -> None:
    github, project = FakeGitHub(), await _project(FakeApi())
    github.add_repository("acme/birds", files)
    found = await Repositories(github, "acme").find_or_create(project)
    assert found.repository.full_name == f"acme/birds-{project.id[:6]}"


async def test_two_taken_names_are_refused() -> None:
    github, project = FakeGitHub(), await _project(FakeApi())
    github.add_repository("acme/birds", _marker("another"))
    github.add_repository(f"acme/birds-{project.id[:6]}", _marker("another"))
    with pytest.raises(NameTaken, match="birds"):
        await Repositories(github, "acme").find_or_create(project)


async def test_the_recorded_repository_comes_first() -> None:
    github, api = FakeGitHub(), FakeApi()
    created = await _project(api)
    project = await api.update_project(created.id, ProjectUpdate(repo_full_name="acme/renamed"))
    github.add_repository("acme/renamed", _marker(project.id))
    found = await Repositories(github, "acme").find_or_create(project)
    assert found.repository.full_name == "acme/renamed"
