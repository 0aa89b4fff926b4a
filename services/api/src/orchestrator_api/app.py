"""The composition root of the api: the FastAPI application and what the process runs beside it."""

from __future__ import annotations

import functools
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from orchestrator_api import problems
from orchestrator_api.context import ApiContext, Service
from orchestrator_api.db.engine import Database
from orchestrator_api.ended_workers import EndedWorkers
from orchestrator_api.events.hub import EventHub
from orchestrator_api.middleware import RequestGate
from orchestrator_api.repositories.platform import forget_old_keys
from orchestrator_api.revision import check_migrated
from orchestrator_api.routers import dead_letters, operations, people, platform, projects, run_log, runs, servers, tasks
from orchestrator_api.settings import ApiSettings
from orchestrator_api.tokens import Tokens
from shared.runtime.service import Composition

SWEEP_SECONDS = 3600.0
ROUTERS = (projects, tasks, runs, run_log, people, servers, operations, dead_letters, platform)


def build_application(context: ApiContext) -> FastAPI:
    """Return the application; every route but /health is under /api and asks for a token."""
    app = FastAPI(title="Codegen Orchestrator", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = context
    problems.install(app)
    api = APIRouter(prefix="/api")
    for module in ROUTERS:
        api.include_router(module.router)

    @api.get("/openapi.json", include_in_schema=False)
    async def openapi(_: Service) -> dict[str, Any]:
        return app.openapi()

    app.include_router(api)

    @app.get("/health", include_in_schema=False)
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def create_app(context: ApiContext) -> ASGIApp:
    """Return what the server runs."""
    return RequestGate(build_application(context))


async def compose(process: Composition, settings: ApiSettings) -> None:
    """Wire one api process."""
    url = settings.database_url.get_secret_value()
    database = Database(url, pool_size=settings.database_pool_size, name="orchestrator-api")
    process.stack.push_async_callback(database.close)
    hub = EventHub(database)
    tokens = Tokens(settings.api_jwt_secret.get_secret_value())
    process.mount(create_app(ApiContext(database, tokens, hub, EndedWorkers(database), process.stop)))
    process.loop("event hub", hub.run)
    process.periodic("forget old keys", functools.partial(forget_old_keys, database), interval_seconds=SWEEP_SECONDS)
    process.ready_check("database", functools.partial(check_migrated, database))
