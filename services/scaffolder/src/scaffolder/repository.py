"""Which repository a project gets: its own from an earlier try, a new one, never somebody else's."""

from __future__ import annotations

from dataclasses import dataclass

from scaffolder import marker
from scaffolder.errors import NameTaken
from shared.clients.github.models import Repository
from shared.clients.github.port import GitHub
from shared.contracts.dto.work import ProjectDTO

_SUFFIX_CHARS = 6


@dataclass(frozen=True, slots=True)
class Found:
    """A repository for the project; `has_content` says that an earlier try filled it."""

    repository: Repository
    has_content: bool


class Repositories:
    """Finds or creates under one owner."""

    def __init__(self, github: GitHub, owner: str) -> None:
        self._github = github
        self._owner = owner

    async def find_or_create(self, project: ProjectDTO) -> Found:
        """Try the project's name, then the name with the project's id; raises NameTaken."""
        names = [project.name, f"{project.name}-{project.id[:_SUFFIX_CHARS].lower()}"]
        if project.repo_full_name is not None:
            names.insert(0, project.repo_full_name.partition("/")[2])
        for name in dict.fromkeys(names):
            found = await self._try(project, name)
            if found is not None:
                return found
        raise NameTaken(f"the repositories {', '.join(names)} of {self._owner} belong to other projects")

    async def _try(self, project: ProjectDTO, name: str) -> Found | None:
        repository, was_created = await self._github.create_repository(self._owner, name, private=True)
        if was_created:
            return Found(repository, has_content=False)
        branch = project.default_branch
        if await self._github.get_ref(repository.full_name, branch) is None:
            # Nobody has used it: most likely an earlier try of ours ended between creating and pushing.
            return Found(repository, has_content=False)
        text = await self._github.get_content(repository.full_name, marker.PATH, branch)
        return Found(repository, has_content=True) if marker.project_id_of(text) == project.id else None
