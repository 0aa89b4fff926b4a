"""HTML pages: Jinja2 templates from app/templates, escaped by default."""

from pathlib import Path

from fastapi.templating import Jinja2Templates

templates = Jinja2Templates(directory=Path(__file__).resolve().parent / "templates")
