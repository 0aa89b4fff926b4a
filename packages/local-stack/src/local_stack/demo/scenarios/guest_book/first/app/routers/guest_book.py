"""The guest book: people leave a name and a message, the newest stands first."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from app.db import Database
from app.pages import templates

router = APIRouter()
SHOWN = 200
NAME_LENGTH = 80
MESSAGE_LENGTH = 2000


@router.get("/", response_class=HTMLResponse)
def read(request: Request, database: Database) -> Response:
    """Show the form and the newest entries."""
    return _page(request, database)


@router.post("/entries")
def sign(
    request: Request, database: Database, name: Annotated[str, Form()] = "", message: Annotated[str, Form()] = ""
) -> Response:
    """Store an entry and go back to the page; what is missing or too long is named."""
    name, message = name.strip(), message.strip()
    problem = _problem(name, message)
    if problem is not None:
        return _page(request, database, problem=problem, name=name, message=message, status_code=422)
    database.execute("INSERT INTO entries (name, message) VALUES (?, ?)", (name, message))
    return RedirectResponse("/", status_code=303)


def _problem(name: str, message: str) -> str | None:
    if not name or len(name) > NAME_LENGTH:
        return f"Please give a name of at most {NAME_LENGTH} characters."
    if not message or len(message) > MESSAGE_LENGTH:
        return f"Please write a message of at most {MESSAGE_LENGTH} characters."
    return None


def _page(
    request: Request,
    database: Database,
    *,
    problem: str | None = None,
    name: str = "",
    message: str = "",
    status_code: int = 200,
) -> Response:
    entries = database.execute(
        "SELECT name, message, written_at FROM entries ORDER BY id DESC LIMIT ?", (SHOWN,)
    ).fetchall()
    values = {"entries": entries, "problem": problem, "name": name, "message": message}
    return templates.TemplateResponse(request, "guest_book.html", values, status_code=status_code)
