"""No route is open by accident."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from orchestrator_api.app import build_application
from orchestrator_api.context import Allow, ApiContext
from orchestrator_api.db.engine import Database
from orchestrator_api.ended_workers import EndedWorkers
from orchestrator_api.events.hub import EventHub
from orchestrator_api.tokens import Tokens
from shared.testing.api_process import TEST_SECRET

OPEN = {"/health"}


@pytest.fixture
def app() -> FastAPI:
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    return build_application(ApiContext(database, Tokens(TEST_SECRET), EventHub(database), EndedWorkers(database)))


def asks_who_calls(dependant: Dependant) -> bool:
    return isinstance(dependant.call, Allow) or any(asks_who_calls(inner) for inner in dependant.dependencies)


def api_routes(app: FastAPI) -> list[RouteContext]:
    routes = list(iter_route_contexts(app.router.routes))
    assert all(isinstance(route.original_route, APIRoute) for route in routes)
    return routes


def test_every_route_but_the_probe_asks_who_calls(app: FastAPI) -> None:
    routes = api_routes(app)
    assert len(routes) > 50
    assert {route.path for route in routes if not asks_who_calls(route.dependant)} == OPEN


async def test_no_route_answers_without_a_token(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", verify=False) as http:
        for route in api_routes(app):
            path = route.path or ""
            for method in route.methods or ():
                answer = await http.request(method, path, json={})
                assert answer.status_code == (200 if path in OPEN else 401), (method, path, answer.text)
