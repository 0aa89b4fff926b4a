"""Every refusal as application/problem+json; no traceback ever reaches a caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from orchestrator_api.errors import ApiProblem, DatabaseUnavailable, Unauthenticated
from shared.contracts.dto.problem import FieldError, Problem
from shared.logging import get_logger

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 400: "invalid_request"}
log = get_logger(__name__)


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that carries a problem document."""
    content = problem.model_dump_json()
    return Response(content, status_code=problem.status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def install(app: FastAPI) -> None:
    """Let every error of the application answer as a problem document."""
    app.add_exception_handler(ApiProblem, _on_api_problem)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_bug)


async def _on_api_problem(_: Request, error: Exception) -> Response:
    if not isinstance(error, ApiProblem):
        raise error
    headers: dict[str, str] = {}
    if isinstance(error, DatabaseUnavailable):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    problem = Problem(
        title=error.title, status=error.status, code=error.problem_code, detail=str(error), errors=error.errors
    )
    return problem_response(problem, headers)


async def _on_validation_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [FieldError(field=_field(item["loc"]), message=str(item["msg"])) for item in error.errors()]
    detail = "; ".join(f"{item.field}: {item.message}" for item in errors)
    return problem_response(
        Problem(title="Unprocessable Content", status=422, code="invalid_request", detail=detail, errors=errors)
    )


def _field(location: Sequence[Any]) -> str:
    """Return `modules.0` for ("body", "modules", 0); `body` when the body itself is at fault."""
    parts = [str(part) for part in location]
    return ".".join(parts[1:]) if len(parts) > 1 else ".".join(parts)


async def _on_http_exception(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    problem = Problem(
        title=error.detail,
        status=error.status_code,
        code=_CODES.get(error.status_code, "http_error"),
        detail=error.detail,
    )
    return problem_response(problem, error.headers)


async def _on_bug(request: Request, error: Exception) -> Response:
    log.error("a request failed", method=request.method, path=request.url.path, exc_info=error)
    return problem_response(
        Problem(
            title="Internal Server Error",
            status=500,
            code="internal_error",
            detail="the api failed to serve this request; the failure was logged",
        )
    )
