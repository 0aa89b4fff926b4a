"""Every refusal is a problem document that names what is wrong, and an outage asks to come back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from orchestrator_api.middleware import MAX_BODY_BYTES
from shared.clients.api import ApiClient
from shared.clients.errors import Unavailable
from shared.contracts.base import new_id
from shared.testing.api_process import ApiServer, running_api, service_token
from shared.testing.api_scenes import new_project
from shared.testing.postgres_server import running_postgres

UNKNOWN = "/api/nothing-here"


@pytest.fixture
async def http(api_server: ApiServer) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {api_server.service_token()}"}
    async with httpx.AsyncClient(base_url=api_server.base_url, headers=headers, verify=False) as client:
        yield client


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert (document["status"], document["code"]) == (status, code)
    assert "Traceback" not in answer.text
    return document


async def test_an_invalid_body_names_its_fields(http: httpx.AsyncClient) -> None:
    body = {"name": "A B", "modules": ["nothing"], "owner_id": "u", "extra": 1}
    document = problem(await http.post("/api/projects", json=body), 422, "invalid_request")
    assert {error["field"] for error in document["errors"]} == {"name", "modules.0", "extra"}
    assert all(error["message"] for error in document["errors"])


async def test_a_body_that_is_not_json_and_a_query_that_is_not_valid_are_named(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/projects", content=b"{", headers={"Content-Type": "application/json"})
    problem(answer, 422, "invalid_request")
    document = problem(await http.get("/api/tasks", params={"status": "eaten", "limit": 0}), 422, "invalid_request")
    assert {error["field"] for error in document["errors"]} == {"status", "limit"}


async def test_unknown_paths_methods_and_rows_are_problems(http: httpx.AsyncClient) -> None:
    problem(await http.get(UNKNOWN), 404, "not_found")
    problem(await http.delete("/api/projects"), 405, "method_not_allowed")
    problem(await http.get("/api/projects/none"), 404, "not_found")


async def test_text_the_database_cannot_hold_is_the_callers_error(http: httpx.AsyncClient) -> None:
    body = {"name": "todo-app", "owner_id": f"u-{new_id()}", "description": "a\u0000b"}
    problem(await http.post("/api/projects", json=body), 422, "invalid_request")
    problem(await http.get("/api/projects", params={"name": "a\u0000b"}), 422, "invalid_request")


async def test_a_large_body_is_refused_whether_or_not_its_length_is_announced(http: httpx.AsyncClient) -> None:
    large = b'{"name":"' + b"x" * MAX_BODY_BYTES + b'"}'
    problem(await http.post("/api/projects", content=large), 413, "body_too_large")

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks():
            yield chunk

    headers = {"Content-Type": "application/json"}
    problem(await http.post("/api/projects", content=stream(), headers=headers), 413, "body_too_large")


async def test_a_callers_correlation_comes_back(http: httpx.AsyncClient) -> None:
    answer = await http.get(UNKNOWN, headers={"X-Correlation-ID": "chat-9"})
    assert answer.headers["x-correlation-id"] == "chat-9"


async def test_the_contract_can_be_read(http: httpx.AsyncClient) -> None:
    document = (await http.get("/api/openapi.json")).json()
    assert "/api/runs/{run_id}/transitions" in document["paths"]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


async def test_an_outage_of_the_database_is_503_and_passes() -> None:
    async with running_postgres(is_durable=True) as postgres, running_api(postgres.dsn()) as process:
        async with ApiClient(process.base_url, service_token("test"), retry_seconds=0) as impatient:
            project = await new_project(impatient)
            await postgres.kill()
            headers = {"Authorization": f"Bearer {process.service_token()}"}
            async with httpx.AsyncClient(base_url=process.base_url, headers=headers, verify=False) as http:
                for _ in range(3):
                    answer = await http.get(f"/api/projects/{project.id}")
                    problem(answer, 503, "database_unavailable")
                    assert answer.headers["retry-after"] == "1"
                assert (await http.get("/readyz")).status_code == 503
                assert (await http.get("/livez")).status_code == 200
                assert (await http.get("/health")).status_code == 200
            with pytest.raises(Unavailable) as outage:
                await impatient.get_project(project.id)
            assert outage.value.retry_after_seconds == 1
            await postgres.start()
            async with ApiClient(process.base_url, service_token("test"), retry_seconds=10) as patient:
                assert await patient.get_project(project.id) == project
