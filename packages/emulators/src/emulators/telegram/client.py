"""Plays the user: writes to the bot, presses buttons and sees what happens in the chat."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httpx
from pydantic import BaseModel, TypeAdapter

from emulators.telegram.errors import ControlCallError
from emulators.telegram.models import ChatEvent
from emulators.telegram.user_side import NewCallback, NewMessage, NewUser, Pressed, Written

POLL_SECONDS = 10.0

_EVENTS = TypeAdapter(list[ChatEvent])


class UserClient:
    """One user's client; use it as an async context manager, or close it."""

    def __init__(self, base_url: str, user_id: int) -> None:
        self.user_id = user_id
        self._http = httpx.AsyncClient(base_url=f"{base_url.rstrip('/')}/_emulator/", timeout=POLL_SECONDS + 30)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def register(
        self, first_name: str = "Test", username: str | None = None, *, blocks_bot: bool = False
    ) -> None:
        """Tell Telegram about this user, as the first /start does; also changes the name and the block."""
        new = NewUser(id=self.user_id, first_name=first_name, username=username, blocks_bot=blocks_bot)
        await self._post("users", new)

    async def send(self, text: str, *, reply_to_message_id: int | None = None) -> Written:
        """Write to the bot. Raises ControlCallError."""
        new = NewMessage(user_id=self.user_id, text=text, reply_to_message_id=reply_to_message_id)
        return Written.model_validate(await self._post("messages", new))

    async def press(self, message_id: int, data: str, *, chat_id: int | None = None, forged: bool = False) -> Pressed:
        """Press the button that carries this data. Raises ControlCallError."""
        new = NewCallback(user_id=self.user_id, message_id=message_id, data=data, chat_id=chat_id, forged=forged)
        return Pressed.model_validate(await self._post("callbacks", new))

    async def events(self, after: int = 0, wait_seconds: float = 0) -> list[ChatEvent]:
        """Return the chat's events above a number, in order; waits for the first one."""
        query = {"after_event": str(after), "wait_seconds": str(wait_seconds)}
        response = await self._http.get(
            f"chats/{self.user_id}/messages", params=query, timeout=httpx.Timeout(30, read=wait_seconds + 30)
        )
        return _EVENTS.validate_python(_checked(response).json())

    async def wait_for(
        self, predicate: Callable[[ChatEvent], bool], deadline_seconds: float, *, after: int = 0
    ) -> ChatEvent:
        """Return the first event above `after` that fits. Raises TimeoutError telling the last events seen."""
        deadline = time.monotonic() + deadline_seconds
        seen: list[ChatEvent] = []
        while (left := deadline - time.monotonic()) > 0:
            for event in await self.events(after, min(left, POLL_SECONDS)):
                if predicate(event):
                    return event
                seen.append(event)
                after = event.event
        last = [f"{event.kind} {event.message_id}: {event.text[:200]!r}" for event in seen[-5:]]
        raise TimeoutError(f"no such event within {deadline_seconds} s; the last of {len(seen)} events: {last}")

    async def _post(self, path: str, body: BaseModel) -> object:
        answer: object = _checked(await self._http.post(path, json=body.model_dump())).json()
        return answer


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise ControlCallError(f"{response.request.method} {response.request.url.path}: {response.text}")
    return response
