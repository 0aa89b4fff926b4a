"""Composition root of the Telegram emulator: the Bot API on one side, the user's control endpoints on the other."""

import asyncio
import hmac
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, JsonValue, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from emulators.faults import CLIENT_LEFT, FaultMiddleware
from emulators.telegram.bot_methods import BotMethods, FloodLimit
from emulators.telegram.chat_methods import ChatMethods
from emulators.telegram.errors import BotApiError, TelegramEmulatorError, UserSideError
from emulators.telegram.models import User
from emulators.telegram.params import read_parameters
from emulators.telegram.store import Store
from emulators.telegram.updates import Bell, UpdateQueue, WebhookSender, wait_for_ring
from emulators.telegram.user_side import NewCallback, NewMessage, NewUser, UserSide

TOKEN = re.compile(r"(\d+):[A-Za-z0-9_-]+")
LARGEST_WAIT_SECONDS = 60.0


BodyT = TypeVar("BodyT", bound=BaseModel)


@dataclass(frozen=True)
class TelegramOptions:
    """Which bot is emulated and where its data lives."""

    state: Path
    token: str
    username: str = "codegen_test_bot"
    flood_per_second: int = 0


class BadTokenError(TelegramEmulatorError):
    """The token is not digits, a colon and letters, as BotFather gives them."""


def create_app(options: TelegramOptions, clock: Callable[[], float] = time.time) -> FaultMiddleware:
    """Build the emulator. Raises BadTokenError."""
    shape = TOKEN.fullmatch(options.token)
    if shape is None:
        raise BadTokenError(BadTokenError.__doc__)
    options.state.mkdir(parents=True, exist_ok=True)
    store = Store(options.state / "telegram.sqlite3")
    bell = Bell()
    queue = UpdateQueue(store, bell)
    bot = User(id=int(shape.group(1)), is_bot=True, first_name="Codegen", username=options.username)
    files = options.state / "files"
    chats = ChatMethods(bot, store, bell, files, clock)
    flood = FloodLimit(options.flood_per_second, time.monotonic)
    bot_side = _BotSide(BotMethods(bot, store, queue, chats, flood), options.token, files)
    control = _Control(UserSide(store, bell, clock), store, bell)
    sender = WebhookSender(queue, store, bell, clock)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        pushing = asyncio.create_task(sender.run())
        try:
            yield
        finally:
            pushing.cancel()
            await asyncio.wait([pushing])
            store.close()

    routes = [
        Route("/bot{token}/{method}", bot_side.call, methods=["GET", "POST"]),
        Route("/file/bot{token}/documents/{file_id}", bot_side.download, methods=["GET"]),
        Route("/_emulator/users", control.add_user, methods=["POST"]),
        Route("/_emulator/messages", control.write, methods=["POST"]),
        Route("/_emulator/callbacks", control.press, methods=["POST"]),
        Route("/_emulator/chats/{user_id:int}/messages", control.events, methods=["GET"]),
    ]
    handlers = {BotApiError: _show_bot_error, UserSideError: _show_user_error, 404: _show_not_found}
    return FaultMiddleware(Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers))


class _BotSide:
    def __init__(self, methods: BotMethods, token: str, files: Path) -> None:
        self._methods = methods
        self._token = token
        self._files = files

    async def call(self, request: Request) -> Response:
        self._check(request)
        given = await read_parameters(request)
        answering = asyncio.create_task(self._methods.call(request.path_params["method"], given))
        leaving = asyncio.create_task(_disconnected(request))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return JSONResponse({"ok": True, "result": answering.result()})
            # A poller that left must not be a rival of its successor. Only polls wait, all else is done by now.
            return Response(status_code=CLIENT_LEFT)
        finally:
            answering.cancel()
            leaving.cancel()

    async def download(self, request: Request) -> Response:
        self._check(request)
        file_id = str(request.path_params["file_id"])
        path = self._files / file_id
        if not file_id.isalnum() or not path.is_file():
            raise BotApiError(404, "Not Found")
        return FileResponse(path)

    def _check(self, request: Request) -> None:
        token = str(request.path_params["token"])
        if TOKEN.fullmatch(token) is None:
            raise BotApiError(404, "Not Found")
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            raise BotApiError(401, "Unauthorized")


class _Control:
    def __init__(self, users: UserSide, store: Store, bell: Bell) -> None:
        self._users = users
        self._store = store
        self._bell = bell

    async def add_user(self, request: Request) -> Response:
        user = self._users.add_user(await _body(request, NewUser))
        return JSONResponse(user.wire(), 201)

    async def write(self, request: Request) -> Response:
        return JSONResponse(self._users.write(await _body(request, NewMessage)).model_dump(), 201)

    async def press(self, request: Request) -> Response:
        return JSONResponse(self._users.press(await _body(request, NewCallback)).model_dump(), 201)

    async def events(self, request: Request) -> Response:
        after = int(_number(request, "after_event"))
        deadline = time.monotonic() + min(_number(request, "wait_seconds"), LARGEST_WAIT_SECONDS)
        while True:
            news = self._bell.next()
            events = self._store.events(request.path_params["user_id"], after)
            left = deadline - time.monotonic()
            if events or left <= 0 or not await wait_for_ring(news, left):
                return JSONResponse([event.model_dump(mode="json", exclude_none=True) for event in events])


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request, kind: type[BodyT]) -> BodyT:
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"]) or "body"
        raise UserSideError(f"{field}: {problem['msg']}") from error


def _number(request: Request, name: str) -> float:
    given = request.query_params.get(name, "0")
    try:
        return float(given)
    except ValueError as error:
        raise UserSideError(f"{name}: a number, not {given!r}") from error


def _show_bot_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BotApiError)
    body: dict[str, JsonValue] = {"ok": False, "error_code": error.code, "description": error.description}
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        body["parameters"] = {"retry_after": error.retry_after}
        headers["retry-after"] = str(error.retry_after)
    return JSONResponse(body, error.code, headers)


def _show_user_error(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 422)


def _show_not_found(request: Request, error: Exception) -> Response:
    return _show_bot_error(request, BotApiError(404, "Not Found"))
