"""A chat in the terminal: lines typed go to the bot, what the bot does is printed."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Protocol

from emulators.telegram.client import POLL_SECONDS, UserClient
from emulators.telegram.errors import ControlCallError
from emulators.telegram.models import ChatEvent, Keyboard

MARKS = {
    "sent": "bot",
    "edited": "bot (edited)",
    "deleted": "bot (deleted)",
    "draft": "bot …",
    "answered": "bot (note)",
}
READ_BYTES = 65536
HELP = "type a message; /press N presses button N of the latest buttons; /quit or Ctrl-C leaves"


class Lines(Protocol):
    """Where the typed lines come from."""

    async def next(self) -> str | None:
        """Return the next line without its end; None when there are no more."""
        ...


class StandardInput:
    """Lines of a descriptor, read by a daemon thread: any kind of file works and nothing holds up the exit."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._reader = asyncio.StreamReader()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._feed, daemon=True).start()

    async def next(self) -> str | None:
        """Return the next line."""
        line = await self._reader.readline()
        return line.decode(errors="replace").rstrip("\r\n") if line else None

    def _feed(self) -> None:
        try:
            while data := os.read(self._descriptor, READ_BYTES):
                self._loop.call_soon_threadsafe(self._reader.feed_data, data)
            self._loop.call_soon_threadsafe(self._reader.feed_eof)
        except RuntimeError:
            # The chat has ended and its loop is closed: there is nobody to tell.
            return


class TerminalChat:
    """Relays between lines and the chat of one user."""

    def __init__(self, user: UserClient, lines: Lines, show: Callable[[str], None]) -> None:
        self._user = user
        self._lines = lines
        self._show = show
        self._buttons: list[tuple[int, str]] = []
        self._last_event = 0

    async def run(self) -> None:
        """Chat until the lines end or /quit. Raises ControlCallError and httpx errors."""
        earlier = await self._user.events()
        self._last_event = earlier[-1].event if earlier else 0
        self._show(HELP)
        watching = asyncio.create_task(self._watch())
        typing = asyncio.create_task(self._read())
        try:
            done, _ = await asyncio.wait({watching, typing}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            watching.cancel()
            typing.cancel()
            await asyncio.wait({watching, typing})

    async def _watch(self) -> None:
        while True:
            for event in await self._user.events(self._last_event, POLL_SECONDS):
                self._last_event = event.event
                if event.from_bot:
                    self._show(self._described(event))

    async def _read(self) -> None:
        while (line := await self._lines.next()) is not None:
            if line.strip() == "/quit":
                return
            try:
                await self._act(line)
            except ControlCallError as error:
                self._show(f"! {error}")

    async def _act(self, line: str) -> None:
        command, _, argument = line.strip().partition(" ")
        if command != "/press":
            if line.strip():
                await self._user.send(line)
            return
        if not argument.isdecimal() or not 1 <= int(argument) <= len(self._buttons):
            self._show(f"! there are {len(self._buttons)} buttons")
            return
        message_id, data = self._buttons[int(argument) - 1]
        await self._user.press(message_id, data)

    def _described(self, event: ChatEvent) -> str:
        text = event.text or (f"message {event.message_id}" if event.kind == "deleted" else "")
        lines = [f"{MARKS[event.kind]}> {text}"]
        if event.document is not None:
            lines.append(f"  file {event.document.file_name}, {event.document.file_size} bytes")
        if event.reply_markup is not None:
            lines.extend(self._numbered(event.message_id, event.reply_markup))
        return "\n".join(lines)

    def _numbered(self, message_id: int, keyboard: Keyboard) -> list[str]:
        buttons = [button for row in keyboard.inline_keyboard for button in row if button.callback_data]
        self._buttons = [(message_id, button.callback_data or "") for button in buttons]
        return [f"  [{number}] {button.text}" for number, button in enumerate(buttons, start=1)]


async def chat(base_url: str, user_id: int, first_name: str) -> None:
    """Chat on standard input and output until it ends or Ctrl-C."""
    loop = asyncio.get_running_loop()
    running = asyncio.current_task()
    assert running is not None
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        running.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        async with UserClient(base_url, user_id) as user:
            await user.register(first_name)
            await TerminalChat(user, StandardInput(sys.stdin.fileno()), _print).run()
    except asyncio.CancelledError:
        if not stopped:
            raise
        running.uncancel()


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
