"""What the server asks after each release: is it up, and which commit is it."""

from fastapi import APIRouter, Request

from app.db import Database

router = APIRouter(tags=["status"])


@router.get("/health")
def health(database: Database) -> dict[str, str]:
    """Answer once the database can be read."""
    database.execute("SELECT 1").fetchone()
    return {"status": "ok"}


@router.get("/version")
def version(request: Request) -> dict[str, str]:
    """Tell the commit this process was started from."""
    return {"sha": request.app.state.settings.app_sha}
