"""The api over real sockets: retries, problems, headers, and what `--help` does not load."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from orchestrator_cli.errors import CliError, InTheWay, NotAllowed, RowMissing, Unreachable, UsageFault
from orchestrator_cli.http_gateway import HttpGateway
from orchestrator_cli.settings import CliSettings

Answer = tuple[int, Any, dict[str, str]]


class Server:
    """Answers requests from a list; an exhausted list repeats its last answer. None cuts the connection."""

    def __init__(self, answers: list[Answer | None]) -> None:
        self.answers = answers
        self.requests: list[tuple[str, dict[str, str], str]] = []
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (entry.partition(": ") for entry in lines)}
        body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
        self.requests.append((line.rsplit(" ", 1)[0], headers, body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            status, value, extra = answer
            content = json.dumps(value).encode()
            fields = {"Content-Length": str(len(content)), "Connection": "close", **extra}
            text = "".join(f"{name}: {entry}\r\n" for name, entry in fields.items())
            writer.write(f"HTTP/1.1 {status} x\r\n{text}\r\n".encode() + content)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def serving(*answers: Answer | None) -> AsyncIterator[Server]:
    server = Server(list(answers))
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await listener.wait_closed()


def gateway(port: int, **changes: Any) -> HttpGateway:
    known: dict[str, Any] = {"api_url": f"http://127.0.0.1:{port}", "api_token": "token-1", "api_retry_seconds": 5.0}
    return HttpGateway(CliSettings(**{**known, **changes}))


async def test_requests_carry_token_key_and_correlation() -> None:
    async with serving((201, {"id": "p-1"}, {})) as server:
        rows = await gateway(server.port, correlation_id="corr-1").create_project({"name": "a"}, idempotency_key="k-1")
    assert rows == {"id": "p-1"}
    line, headers, body = server.requests[0]
    assert line == "POST /api/projects"
    assert headers["authorization"] == "Bearer token-1"
    assert headers["idempotency-key"] == "k-1"
    assert headers["x-correlation-id"] == "corr-1"
    assert json.loads(body) == {"name": "a"}


async def test_ids_and_filters_are_quoted() -> None:
    async with serving((200, [], {})) as server:
        await gateway(server.port).list_projects(name="a&b")
        server.answers = [(200, {}, {})]
        await gateway(server.port).get_project("../users")
    assert [line for line, _, _ in server.requests] == ["GET /api/projects?name=a%26b", "GET /api/projects/..%2Fusers"]


async def test_an_api_that_is_being_restarted_is_asked_again_with_the_same_key() -> None:
    async with serving(None, (503, {}, {"Retry-After": "0"}), (500, {}, {}), (201, {"id": "p-1"}, {})) as server:
        row = await gateway(server.port).create_project({"name": "a"}, idempotency_key="k-1")
    assert row == {"id": "p-1"}
    assert [headers["idempotency-key"] for _, headers, _ in server.requests] == ["k-1"] * 4


async def test_an_api_that_stays_away_is_unreachable_after_the_time_for_retries() -> None:
    async with serving((503, {}, {})) as server:
        with pytest.raises(Unreachable, match="503") as refused:
            await gateway(server.port, api_retry_seconds=0.3).health()
        port = server.port
    assert refused.value.exit_code == 6
    assert len(server.requests) > 1
    with pytest.raises(Unreachable, match="try again"):
        await gateway(port, api_retry_seconds=0.2).health()


@pytest.mark.parametrize(
    ("status", "leaf"),
    [(401, NotAllowed), (403, NotAllowed), (404, RowMissing), (409, InTheWay), (400, UsageFault), (422, UsageFault)],
)
async def test_a_problem_becomes_its_exit_code_and_names_the_fields(status: int, leaf: type[CliError]) -> None:
    problem = {"title": "No", "detail": "that will not do", "errors": [{"field": "name", "message": "too short"}]}
    async with serving((status, problem, {})) as server:
        with pytest.raises(leaf, match="that will not do: name: too short"):
            await gateway(server.port).get_task("t-1")


async def test_an_answer_of_another_shape_is_an_error_of_ours() -> None:
    async with serving((200, ["x"], {})) as server:
        with pytest.raises(CliError, match="not a row"):
            await gateway(server.port).get_task("t-1")


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", ""])
def test_an_address_that_is_none_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageFault, match="API_URL"):
        HttpGateway(CliSettings(api_url=url))


async def run_python(code: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    return stdout.decode().splitlines()[-1]


async def test_help_loads_nothing_heavy() -> None:
    heavy = "{'redis', 'httpx', 'pydantic', 'asyncio', 'rich', 'structlog', 'http.client'}"
    code = (
        "import sys; from orchestrator_cli.__main__ import main; assert main(['--help']) == 0; "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    assert await run_python(code) == "[]"


async def test_a_reading_command_loads_neither_redis_nor_httpx() -> None:
    async with serving((200, [], {})) as server:
        code = (
            f"import os, sys; os.environ.update(API_URL='http://127.0.0.1:{server.port}'); "
            "from orchestrator_cli.__main__ import main; assert main(['project', 'list']) == 0; "
            "print(sorted({'redis', 'httpx', 'shared', 'rich', 'structlog'} & set(sys.modules)))"
        )
        assert await run_python(code) == "[]"
