"""Statistics of the guest book: how much was written, and by whom."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.db import Database
from app.pages import templates

router = APIRouter()
PAGE = ("Statistics", "/statistics")
SHOWN = 10


@router.get("/statistics", response_class=HTMLResponse)
def statistics(request: Request, database: Database) -> HTMLResponse:
    """Count entries and people, and name those who wrote most."""
    totals = database.execute("SELECT count(*) AS entries, count(DISTINCT name) AS people FROM entries").fetchone()
    writers = database.execute(
        "SELECT name, count(*) AS entries FROM entries GROUP BY name ORDER BY entries DESC, name LIMIT ?", (SHOWN,)
    ).fetchall()
    return templates.TemplateResponse(request, "statistics.html", {"totals": totals, "writers": writers})
