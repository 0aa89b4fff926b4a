"""Makes a project's repository: find or create, render, commit, push, protect, report. Safe to repeat at any point."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from scaffolder.git import Git
from scaffolder.marker import PATH as MARKER_PATH
from scaffolder.marker import Marker
from scaffolder.rendering import Renderer
from scaffolder.repository import Found, Repositories
from shared.clients.api_port import Api
from shared.clients.github.errors import GitHubError
from shared.clients.github.models import Permission
from shared.clients.github.port import GitHub
from shared.contracts.dto.work import ProjectDTO, ProjectUpdate
from shared.contracts.queues.work import ScaffolderMessage
from shared.contracts.vocabulary import ProjectStatus
from shared.logging import get_logger

log = get_logger(__name__)
PUSH_PERMISSIONS = {Permission.CONTENTS.value: "write", Permission.WORKFLOWS.value: "write"}
_BEFORE_SCAFFOLDED = frozenset({ProjectStatus.DRAFT, ProjectStatus.SCAFFOLDING, ProjectStatus.FAILED})


class ScaffoldService:
    """One call per message; holds no state between calls."""

    def __init__(
        self,
        api: Api,
        github: GitHub,
        repositories: Repositories,
        renderer: Renderer,
        *,
        environment: Mapping[str, str],
        web_url: str,
    ) -> None:
        self._api = api
        self._github = github
        self._repositories = repositories
        self._renderer = renderer
        self._environment = environment
        self._web_url = web_url

    async def scaffold(self, message: ScaffolderMessage) -> ProjectDTO:
        """Return the project with its repository and files recorded; raises PlatformError leaves."""
        project = await self._api.get_project(message.project_id)
        found = await self._repositories.find_or_create(project)
        with tempfile.TemporaryDirectory(prefix="scaffold-") as folder:
            files = await self._fill(project, message, found, Path(folder))
        await self._protect(found, project.default_branch)
        update = ProjectUpdate(
            repo_full_name=found.repository.full_name,
            repo_url=found.repository.html_url,
            files=files,
            status=ProjectStatus.SCAFFOLDED if project.status in _BEFORE_SCAFFOLDED else None,
        )
        return await self._api.update_project(project.id, update)

    async def _fill(self, project: ProjectDTO, message: ScaffolderMessage, found: Found, folder: Path) -> list[str]:
        repository, branch = found.repository, project.default_branch
        git = Git(folder, self._environment, self._web_url)
        token = await self._github.repository_token(repository.full_name, PUSH_PERMISSIONS)
        if found.has_content:
            return await git.files_of(repository.clone_url, branch, token)
        await self._render(project, message, git.tree, folder)
        sha = await git.commit_all("Start from the template", branch, project.created_at)
        await git.push(repository.clone_url, branch, token)
        log.info("pushed the template", repository=repository.full_name, sha=sha)
        return await git.files()

    async def _render(self, project: ProjectDTO, message: ScaffolderMessage, tree: Path, home: Path) -> None:
        modules: list[JsonValue] = [module.value for module in message.modules]
        answers: dict[str, JsonValue] = {
            "project_name": project.name,
            "description": project.description,
            "modules": modules,
        }
        await self._renderer.render(answers, tree, home)
        template = self._renderer.template
        marker = Marker(
            project.id,
            project.name,
            tuple(module.value for module in message.modules),
            template.name,
            template.ref,
        )
        (tree / MARKER_PATH).write_text(marker.text(), encoding="utf-8")

    async def _protect(self, found: Found, branch: str) -> None:
        """Protection is wanted, not needed: a plan or a permission may lack it."""
        try:
            is_protected = await self._github.protect_branch(found.repository.full_name, branch)
        except GitHubError as error:
            log.warning("branch protection failed", repository=found.repository.full_name, error=str(error))
            return
        if not is_protected:
            log.info("branch protection is not available", repository=found.repository.full_name)
