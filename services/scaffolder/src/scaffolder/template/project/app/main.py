"""Builds the web application: every router in app/routers, every task in app/background, the start page last."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from app import background, db, routers, start_page
from app.discovery import modules_of
from app.settings import Settings

FRONTEND = Path(__file__).resolve().parent.parent / "frontend"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Migrate the database, then run the background tasks for as long as the application lives."""
    settings: Settings = app.state.settings
    db.migrate(settings.database_path)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(module.run(settings)) for module in modules_of(background)]
        yield
        for task in tasks:
            task.cancel()


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return an application of its own; tests pass settings, the server reads them from the environment."""
    settings = settings or Settings.from_environment()
    app = FastAPI(title=settings.app_name, lifespan=lifespan)
    app.state.settings = settings
    for module in modules_of(routers):
        app.include_router(module.router)
    # Routes match in order: a router of yours that serves "/" replaces the start page.
    app.include_router(start_page.router)
    if FRONTEND.is_dir():
        app.mount("/web", StaticFiles(directory=FRONTEND, html=True), name="web")
    return app


app = create_app()
