"""The service as in production, its command on real stores: it gets ready, listens, drains."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.contracts.queues.work import ScaffolderResult
from shared.contracts.topology import DEPLOY_QUEUE, DEVELOPER_OUTPUT, ENGINEERING_QUEUE, SCAFFOLDER_RESULTS, Stream
from shared.contracts.topology import WORKER_RESPONSES_DEVELOPER as RESPONSES
from shared.contracts.vocabulary import ResultStatus
from shared.redis.client import RedisStreamClient
from shared.runtime.ports import free_port

pytestmark = pytest.mark.service
DEADLINE_SECONDS = 30


async def answer_empty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be an api without any rows."""
    while (await reader.readline()).strip():
        continue
    body = b"[]"
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.fixture
async def api_url() -> AsyncIterator[str]:
    server = await asyncio.start_server(answer_empty, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "app.pem"
    path.write_bytes(pem)
    return path


async def ready(port: int) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS), httpx.AsyncClient(trust_env=False) as client:
        while True:
            with suppress(httpx.TransportError):
                if (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.05)


async def groups_listen(bus: RedisStreamClient) -> None:
    streams: tuple[Stream[Any], ...] = (
        ENGINEERING_QUEUE,
        DEPLOY_QUEUE,
        SCAFFOLDER_RESULTS,
        RESPONSES,
        DEVELOPER_OUTPUT,
    )
    async with asyncio.timeout(DEADLINE_SECONDS):
        for stream in streams:
            while "langgraph" not in (await bus.stats(stream)).groups:
                await asyncio.sleep(0.05)


async def test_the_process_gets_ready_listens_to_its_five_streams_and_drains(
    database_url: str, redis_url: str, bus: RedisStreamClient, api_url: str, key_file: Path, tmp_path: Path
) -> None:
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "API_URL": api_url,
        "API_TOKEN": "a-token-of-tests",
        "REDIS_URL": redis_url,
        "CHECKPOINT_DATABASE_URL": database_url,
        "GITHUB_API_URL": "http://127.0.0.1:1",
        "GITHUB_APP_ID": "1",
        "GITHUB_APP_PRIVATE_KEY_FILE": str(key_file),
        "ATTEMPT_SECRET": "an-attempt-secret",
        "DEPLOY_TOKEN": "a-deploy-token",
        "AGENT_TYPE": "mock",
        "POLL_INTERVAL_SECONDS": "0.2",
        "HTTP_PORT": str(port),
        "LANGGRAPH_STRICT_MSGPACK": "true",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent_graphs", env=environment, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    try:
        await ready(port)
        await groups_listen(bus)
        strange = ScaffolderResult(request_id="not-one-of-ours", status=ResultStatus.SUCCESS, project_id="p")
        await bus.publish(SCAFFOLDER_RESULTS, strange)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not (letters := await bus.read(SCAFFOLDER_RESULTS.dead_letters)):
                await asyncio.sleep(0.05)
        assert letters[0][1].service == "langgraph"
        process.terminate()
        async with asyncio.timeout(DEADLINE_SECONDS):
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    assert b"an-attempt-secret" not in errors
