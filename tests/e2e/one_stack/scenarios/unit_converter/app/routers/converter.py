"""Converts kilometres to miles and remembers every conversion."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from app.db import Database
from app.pages import templates

router = APIRouter()
MILES_PER_KILOMETRE = 0.621371
SHOWN = 50


@router.get("/", response_class=HTMLResponse)
def show(request: Request, database: Database) -> Response:
    """Show the form and the newest conversions."""
    return _page(request, database)


@router.post("/conversions")
def convert(request: Request, database: Database, kilometres: Annotated[str, Form()] = "") -> Response:
    """Convert and remember; what is not a number is named."""
    text = kilometres.strip()[:40]
    try:
        miles = round(float(text) * MILES_PER_KILOMETRE, 3)
    except ValueError:
        return _page(request, database, problem=f"{text or 'nothing'} is not a number", status_code=422)
    database.execute("INSERT INTO conversions (kilometres, miles) VALUES (?, ?)", (text, miles))
    return RedirectResponse("/", status_code=303)


def _page(request: Request, database: Database, *, problem: str | None = None, status_code: int = 200) -> Response:
    rows = database.execute("SELECT kilometres, miles FROM conversions ORDER BY id DESC LIMIT ?", (SHOWN,)).fetchall()
    values = {"rows": rows, "problem": problem}
    return templates.TemplateResponse(request, "converter.html", values, status_code=status_code)
