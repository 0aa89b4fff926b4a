"""What the handlers share: one value built by the composition root and carried by the application's state."""

from dataclasses import dataclass
from pathlib import Path

from fastapi import Request

from emulators.github.bare import BareRepository, Identity
from emulators.github.database import Database
from emulators.github.events import Events
from emulators.github.git import Git
from emulators.github.models import Clock, Repository
from emulators.github.runner.scheduler import Scheduler
from emulators.github.settings import GitHubSettings
from emulators.github.tables.actions import ActionsTable
from emulators.github.tables.pulls import PullTable
from emulators.github.tables.repositories import RepositoryTable
from emulators.github.tables.secrets import SecretTable
from emulators.github.tables.tokens import TokenTable

COMMITTER = Identity("GitHub", "noreply@github.com")


@dataclass(frozen=True)
class Services:
    """Everything a handler may use."""

    settings: GitHubSettings
    clock: Clock
    git: Git
    database: Database
    tokens: TokenTable
    repositories: RepositoryTable
    pulls: PullTable
    actions: ActionsTable
    secrets: SecretTable
    events: Events
    link_key: bytes
    runner: Scheduler

    def bare(self, repository: Repository) -> BareRepository:
        """Return the git side of a repository."""
        return BareRepository(self.repository_root / f"{repository.id}.git", self.git)

    @property
    def repository_root(self) -> Path:
        """Return the folder of all bare repositories."""
        return self.settings.state / "repositories"

    @property
    def bot(self) -> Identity:
        """Return the App's identity in commits."""
        name = f"{self.settings.app_slug}[bot]"
        return Identity(name, f"{self.settings.app_id}+{name}@users.noreply.github.com")

    def owner(self, login: str) -> str | None:
        """Return an owner's login as configured, None when there is no such owner."""
        return next((owner for owner in self.settings.owners if owner.lower() == login.lower()), None)

    def base_url(self, request: Request) -> str:
        """Return the root under which the client reaches this server."""
        return self.settings.public_url or str(request.base_url).rstrip("/")


def services_of(request: Request) -> Services:
    """Return the services of the application that handles the request."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


def server_url(request: Request) -> str:
    """Return the address this process listens on, for jobs that run beside it."""
    server = request.scope.get("server")
    return f"http://{server[0]}:{server[1]}" if server else str(request.base_url).rstrip("/")
