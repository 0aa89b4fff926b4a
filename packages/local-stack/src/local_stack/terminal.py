"""A terminal chat with the running system, through the emulated Telegram."""

from __future__ import annotations

import asyncio
import sys

from rich.console import Console
from rich.text import Text

from local_stack.plan import DEMO_USER_ID
from local_stack.user_chat import UserChat

MAX_MESSAGE = 4096


async def converse(telegram_url: str, user_id: int | None) -> int:
    """Relay lines to the bot and its messages to the terminal until end of input."""
    console = Console(highlight=False, soft_wrap=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    console.print(Text("write to the bot; /help lists its commands, Ctrl-D ends", "dim"))
    async with UserChat(telegram_url, user_id or DEMO_USER_ID) as chat:
        listener = asyncio.create_task(_listen(chat, console))
        try:
            while line := await reader.readline():
                text = line.decode("utf-8", "replace").strip()
                if len(text) > MAX_MESSAGE:
                    console.print(Text(f"a message has at most {MAX_MESSAGE} characters; yours has {len(text)}", "red"))
                elif text:
                    await chat.send(text)
        finally:
            listener.cancel()
    return 0


async def _listen(chat: UserChat, console: Console) -> None:
    while True:
        for event in await chat.events():
            if event.is_from_bot:
                mark = "✎ " if event.kind == "edited" else ""
                console.print(
                    Text.assemble(("bot │ ", "bold magenta"), mark, (event.text or "").replace("\n", "\n    │ "))
                )
