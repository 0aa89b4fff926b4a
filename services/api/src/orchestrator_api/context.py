"""What every route gets: the database, the tokens, the event hub, and who is calling."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase

from orchestrator_api.db.engine import Database
from orchestrator_api.ended_workers import EndedWorkers
from orchestrator_api.errors import Forbidden, Unauthenticated
from orchestrator_api.events.hub import EventHub
from orchestrator_api.tokens import Caller, Tokens


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Built once by the composition root."""

    database: Database
    tokens: Tokens
    hub: EventHub
    ended_workers: EndedWorkers
    stop: asyncio.Event = field(default_factory=asyncio.Event)


def context_of(request: Request) -> ApiContext:
    """Return the context of the application that serves this request."""
    context: ApiContext = request.app.state.context
    return context


class Allow(SecurityBase):
    """The one place that decides who may use a route: services always, workers and users by any of these scopes."""

    def __init__(self, *scopes: str) -> None:
        self.scopes = scopes
        self.model = HTTPBearerModel(bearerFormat="JWT")
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated
        context = context_of(request)
        caller = context.tokens.read(token.strip())
        if caller.kind == "worker" and await context.ended_workers.has_ended(caller.name):
            raise Unauthenticated(f"the token ended with the worker {caller.name}")
        if caller.kind != "service" and not any(caller.may(scope) for scope in self.scopes):
            raise Forbidden(f"the token of {caller.name} has no scope for this route")
        return caller


async def _context(request: Request) -> ApiContext:
    """The same for routes: what is not async is called in a thread, which takes longer than most requests' own work."""
    return context_of(request)


Context = Annotated[ApiContext, Depends(_context)]
Service = Annotated[Caller, Depends(Allow())]
