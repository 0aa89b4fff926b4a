"""Composition root of the Messages API emulator: routes, authentication, error shape, control endpoints."""

import hmac
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulators.anthropic.backends import Backend, RecordBackend, ReplayBackend, ScriptedBackend
from emulators.anthropic.cassettes import Cassettes
from emulators.anthropic.engine import Engine
from emulators.anthropic.errors import ApiError, ScriptError
from emulators.anthropic.recordings import Recordings
from emulators.anthropic.script import load_script, parse_script
from emulators.anthropic.wire import error_body
from emulators.faults import FaultMiddleware

LARGEST_BODY_BYTES = 32 * 1024 * 1024
MODELS = {
    "claude-opus-4-8": "Claude Opus 4.8",
    "claude-opus-4-1-20250805": "Claude Opus 4.1",
    "claude-sonnet-4-5-20250929": "Claude Sonnet 4.5",
    "claude-haiku-4-5-20251001": "Claude Haiku 4.5",
}

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class AnthropicOptions:
    """How the emulator answers. Without an upstream and cassettes it is scripted; cassettes alone mean replay."""

    state: Path
    scripts: tuple[Path, ...] = ()
    api_key: str | None = None
    cassettes: Path | None = None
    upstream: str | None = None


def create_app(options: AnthropicOptions) -> FaultMiddleware:
    """Build the emulator. Raises ScriptError."""
    options.state.mkdir(parents=True, exist_ok=True)
    recordings = Recordings(options.state)
    backend = _backend(options, recordings)
    api = _Api(backend, options.api_key)
    control = _Control(backend, recordings, options)
    routes = [
        Route("/", api.alive, methods=["GET", "HEAD"]),
        Route("/v1/messages", api.checked(backend.messages), methods=["POST"]),
        Route("/v1/messages/count_tokens", api.checked(backend.count_tokens), methods=["POST"]),
        Route("/v1/models", api.checked(api.models), methods=["GET"]),
        Route("/v1/models/{model}", api.checked(api.model), methods=["GET"]),
        Route("/_emulator/recordings", control.recordings, methods=["GET"]),
        Route("/_emulator/usage", control.usage, methods=["GET"]),
        Route("/_emulator/script", control.replace_script, methods=["PUT"]),
        Route("/_emulator/reset", control.reset, methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={ApiError: _show_error, HTTPException: _show_http_error})
    return FaultMiddleware(app)


def _backend(options: AnthropicOptions, recordings: Recordings) -> Backend:
    if options.cassettes is None:
        return ScriptedBackend(Engine([load_script(path) for path in options.scripts]), recordings)
    cassettes = Cassettes(options.cassettes)
    if options.upstream is None:
        return ReplayBackend(cassettes, recordings)
    return RecordBackend(options.upstream, cassettes, recordings)


class _Api:
    def __init__(self, backend: Backend, api_key: str | None) -> None:
        self._backend = backend
        self._api_key = api_key

    def checked(self, handler: Handler) -> Handler:
        async def check_then_handle(request: Request) -> Response:
            self._authenticate(request)
            if "anthropic-version" not in request.headers:
                raise ApiError.invalid_request("anthropic-version: header is required")
            if int(request.headers.get("content-length") or 0) > LARGEST_BODY_BYTES:
                raise ApiError(413, "request_too_large", "Request exceeds the maximum size")
            response = await handler(request)
            response.headers["request-id"] = _new_request_id()
            return response

        return check_then_handle

    async def alive(self, request: Request) -> Response:
        return Response()

    async def models(self, request: Request) -> Response:
        shown = [_model_body(model) for model in MODELS]
        return JSONResponse(
            {"data": shown, "has_more": False, "first_id": shown[0]["id"], "last_id": shown[-1]["id"]},
        )

    async def model(self, request: Request) -> Response:
        model = request.path_params["model"]
        if model not in MODELS:
            raise ApiError(404, "not_found_error", f"model: {model}")
        return JSONResponse(_model_body(model))

    def _authenticate(self, request: Request) -> None:
        key = request.headers.get("x-api-key")
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = key or (bearer.strip() if scheme.lower() == "bearer" else "")
        if not given:
            raise ApiError(401, "authentication_error", "x-api-key header is required")
        if self._api_key is not None and not hmac.compare_digest(given.encode(), self._api_key.encode()):
            raise ApiError(401, "authentication_error", "invalid x-api-key" if key else "Invalid bearer token")


class _Control:
    def __init__(self, backend: Backend, recordings: Recordings, options: AnthropicOptions) -> None:
        self._backend = backend
        self._recordings = recordings
        self._folder = options.scripts[0].parent if options.scripts else options.state

    async def recordings(self, request: Request) -> Response:
        after = request.query_params.get("after", "0")
        if not after.isdecimal():
            return JSONResponse({"error": f"after is the id of a recording, a number, not {after!r}"}, 422)
        return JSONResponse([recording.model_dump(mode="json") for recording in self._recordings.read(int(after))])

    async def usage(self, request: Request) -> Response:
        return JSONResponse(self._recordings.usage.model_dump())

    async def replace_script(self, request: Request) -> Response:
        if not isinstance(self._backend, ScriptedBackend):
            return JSONResponse({"error": "this emulator plays or records cassettes, it has no script"}, 409)
        folder = Path(request.query_params.get("folder", str(self._folder)))
        body = (await request.body()).decode(errors="replace")
        try:
            script = parse_script(body, origin="request body", folder=folder)
        except ScriptError as error:
            return JSONResponse({"error": str(error)}, 422)
        self._backend.engine.replace([script])
        return JSONResponse({"name": script.name, "rules": [rule.name for rule in script.rules]})

    async def reset(self, request: Request) -> Response:
        self._backend.reset()
        self._recordings.clear()
        return JSONResponse({"status": "reset"})


def _model_body(model: str) -> dict[str, str]:
    return {"type": "model", "id": model, "display_name": MODELS[model], "created_at": "2025-01-01T00:00:00Z"}


def _new_request_id() -> str:
    return f"req_{uuid.uuid4().hex[:24]}"


def _show_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    request_id = _new_request_id()
    return JSONResponse(error_body(error, request_id), error.status, {**error.headers, "request-id": request_id})


def _show_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = "not_found_error" if error.status_code == 404 else "invalid_request_error"
    return _show_error(request, ApiError(error.status_code, kind, str(error.detail)))
