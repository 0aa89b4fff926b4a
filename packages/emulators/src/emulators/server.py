"""Runs one emulator as a process: one ready line on stdout, silence otherwise, gone within a second of SIGTERM."""

import asyncio
import json
import socket
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

GRACE_SECONDS = 0.4
DATE_SECONDS = 1


class _PromptServer(uvicorn.Server):
    """Cancels requests that outlive the grace (long polls do) and does not die of the signal it handled."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ending.set)

    async def main_loop(self) -> None:
        """Wake for the answers' date only; uvicorn would ask ten times a second whether it should end."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), DATE_SECONDS)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            sys.stdout.write(json.dumps({"listening": f"http://{host}:{port}"}) + "\n")
            sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cancelling = asyncio.create_task(self._cancel_slow_requests())
        try:
            await super().shutdown(sockets=sockets)
        finally:
            cancelling.cancel()

    async def _cancel_slow_requests(self) -> None:
        await asyncio.sleep(GRACE_SECONDS)
        for task in list(self.server_state.tasks):
            task.cancel()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.close()


def serve(app: ASGIApp, host: str, port: int) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code; port 0 takes a free one, named in the ready line."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        sys.stderr.write(json.dumps({"event": "cannot listen", "host": host, "port": port, "error": str(error)}) + "\n")
        return 1
    options: dict[str, Any] = {"log_config": None, "log_level": "critical", "access_log": False, "server_header": False}
    config = uvicorn.Config(app, timeout_graceful_shutdown=1, timeout_keep_alive=30, **options)
    with listener:
        _PromptServer(config).run(sockets=[listener])
    return 0
