"""The page at "/": lists what the routers offer. A router that serves "/" itself takes its place."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app import routers
from app.discovery import modules_of
from app.pages import templates

router = APIRouter()


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
def start_page(request: Request) -> HTMLResponse:
    """Show the application's name and a link for each router's PAGE = ("Title", "/path")."""
    links = [module.PAGE for module in modules_of(routers) if hasattr(module, "PAGE")]
    name = request.app.state.settings.app_name
    return templates.TemplateResponse(request, "index.html", {"app_name": name, "links": links})
