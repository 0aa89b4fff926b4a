"""The rate limit as the caller sees it."""

from fastapi import APIRouter, Request

from emulators.github.models import JsonObject
from emulators.github.rest.middleware import LIMIT, RateLimits

router = APIRouter()


@router.get("/rate_limit")
async def rate_limit(request: Request) -> JsonObject:
    """Show the caller's window; does not count itself."""
    limits = request.app.state.limits
    assert isinstance(limits, RateLimits)
    window = limits.window(request.headers.get("authorization", ""))
    core = {"limit": LIMIT, "used": window.used, "remaining": max(0, LIMIT - window.used), "reset": window.reset}
    search = {"limit": 30, "used": 0, "remaining": 30, "reset": window.reset}
    return {"resources": {"core": core, "search": search}, "rate": core}


@router.get("/meta")
async def meta() -> JsonObject:
    """Say who this is."""
    return {"verifiable_password_authentication": False, "installed_version": "emulator"}
