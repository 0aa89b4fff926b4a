"""Turns what handlers raise into GitHub's error bodies; the only place that chooses a status."""

from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from emulators.github.errors import GitHubError

DOCUMENTATION = "https://docs.github.com/rest"


def error_response(status: int, message: str, errors: Sequence[object] = ()) -> JSONResponse:
    """Build an error answer."""
    body: dict[str, object] = {"message": message, "documentation_url": DOCUMENTATION, "status": str(status)}
    if errors:
        body["errors"] = list(errors)
    return JSONResponse(body, status)


async def _github_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GitHubError)
    return error_response(error.status, error.message, error.errors)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = 404 if error.status_code == 405 else error.status_code
    return error_response(status, "Not Found" if status == 404 else str(error.detail))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    if any(problem["type"] == "json_invalid" for problem in problems):
        return error_response(400, "Problems parsing JSON")
    lines = []
    for problem in problems:
        field = ".".join(str(part) for part in problem["loc"][1:]) or "body"
        missing = problem["type"] == "missing"
        lines.append(f'"{field}" wasn\'t supplied.' if missing else f'For "{field}": {problem["msg"]}')
    return error_response(422, "Invalid request.\n\n" + "\n".join(lines))


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of the application look like GitHub's."""
    app.add_exception_handler(GitHubError, _github_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
