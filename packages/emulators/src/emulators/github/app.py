"""The composition root: builds the services and the one ASGI application that serves REST and git."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from emulators.github.bare import BareRepository
from emulators.github.database import Database
from emulators.github.events import Events, Place
from emulators.github.git import Git
from emulators.github.git_http import GitHttp, is_git
from emulators.github.hooks import install_hooks
from emulators.github.models import Clock, Repository
from emulators.github.rest import (
    actions,
    apps,
    commits,
    contents,
    downloads,
    limits,
    objects,
    pulls,
    refs,
    repositories,
)
from emulators.github.rest import secrets as secret_routes
from emulators.github.rest.errors import install_error_handlers
from emulators.github.rest.middleware import RateLimits, RestHeaders
from emulators.github.runner.folders import RunnerFolders, runner_caches, runner_root
from emulators.github.runner.jobs import RunnerParts
from emulators.github.runner.processes import Account
from emulators.github.runner.scheduler import Scheduler
from emulators.github.services import Services
from emulators.github.settings import GitHubSettings, git_environment, passed_environment
from emulators.github.tables.actions import ActionsTable
from emulators.github.tables.pulls import PullTable
from emulators.github.tables.repositories import RepositoryTable
from emulators.github.tables.secrets import SecretTable
from emulators.github.tables.tokens import TokenTable

ROUTERS = (
    limits.router,
    apps.router,
    secret_routes.router,
    downloads.router,
    actions.router,
    contents.router,
    objects.router,
    refs.router,
    commits.router,
    pulls.router,
    repositories.router,
)


def build_services(settings: GitHubSettings, clock: Clock = time.time) -> Services:
    """Open the state folder and wire everything to it."""
    state = settings.state
    state.mkdir(parents=True, exist_ok=True)
    for name in ("repositories", "logs", "artifacts"):
        (state / name).mkdir(mode=0o700, exist_ok=True)
    database = Database(state / "github.sqlite3")
    git = Git(git_environment())
    repository_table = RepositoryTable(database, clock)
    action_table = ActionsTable(database, clock)
    secret_table = SecretTable(database, clock)
    tokens = TokenTable(database, clock, settings.token_ttl_seconds)
    pull_table = PullTable(database, clock)
    actor = f"{settings.app_slug}[bot]"

    def bare(repository: Repository) -> BareRepository:
        return BareRepository(state / "repositories" / f"{repository.id}.git", git)

    account = Account.of(settings.runner.uid)
    root = runner_root(state, settings.runner.directory, account)
    folders = RunnerFolders(root, account, runner_caches(root, settings.runner.caches, account))
    parts = RunnerParts(
        settings=settings.runner,
        passed_environment=passed_environment(),
        actor=actor,
        clock=clock,
        git=git,
        repositories=repository_table,
        actions=action_table,
        secrets=secret_table,
        tokens=tokens,
        bare=bare,
        folders=folders,
        logs=state / "logs",
        artifacts=state / "artifacts",
    )
    runner = Scheduler(parts)
    events = Events(clock, actor, repository_table, pull_table, action_table, runner.submit)
    return Services(
        settings=settings,
        clock=clock,
        git=git,
        database=database,
        tokens=tokens,
        repositories=repository_table,
        pulls=pull_table,
        actions=action_table,
        secrets=secret_table,
        events=events,
        link_key=_link_key(state / "link.key"),
        runner=runner,
    )


def build_app(services: Services) -> ASGIApp:
    """Build the application: git paths to git, everything else to REST; its lifespan starts and stops the runner."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await services.runner.start()
        for repository in services.repositories.all():
            url = services.settings.listen_url
            await services.events.refs_changed(Place(repository, services.bare(repository), url))
        try:
            yield
        finally:
            await services.runner.stop()
            services.database.close()

    rest = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    rest.state.services = services
    rest.state.limits = RateLimits(services.clock)
    install_error_handlers(rest)
    for router in ROUTERS:
        rest.include_router(router)
    headed, git_http = (
        RestHeaders(rest, rest.state.limits),
        GitHttp(services, install_hooks(services.settings.state / "hooks")),
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_git(scope["path"]):
            await git_http(scope, receive, send)
        else:
            await headed(scope, receive, send)

    return app


def _link_key(path: Path) -> bytes:
    """Return the key of signed addresses, made at the first start."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()
