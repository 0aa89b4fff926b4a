"""The event stream: backfill, live, no gap and no repeat across reconnects and restarts of the api."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx
import pytest

from shared.clients.api import ApiClient
from shared.contracts.dto.work import RunDTO, RunEventAppend, RunEventDTO
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.run_machine import RunEventName
from shared.contracts.vocabulary import RunEventType
from shared.testing.api_process import ApiServer, running_api
from shared.testing.api_scenes import claimed_run, step
from shared.testing.waits import wait_for_run_completion


def message(text: str) -> RunEventAppend:
    return RunEventAppend(type=RunEventType.AGENT_MESSAGE, payload=RunEventPayload(message=text))


async def follow(
    process: ApiServer, run_id: str, *, last_event_id: int | None = None, query: str = ""
) -> AsyncGenerator[tuple[int, str, RunEventDTO]]:
    """Yield (id, event, data) of a stream until the server closes it."""
    headers = {"Authorization": f"Bearer {process.service_token()}"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = str(last_event_id)
    url = f"{process.base_url}/api/runs/{run_id}/stream{query}"
    async with (
        httpx.AsyncClient(timeout=20, verify=False) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                event = RunEventDTO.model_validate_json(fields["data"])
                yield int(fields["id"]), fields["event"], event
                fields = {}


async def test_a_reader_gets_what_was_and_what_comes_and_then_the_end(api: ApiClient, api_server: ApiServer) -> None:
    run = await claimed_run(api)
    seen: list[tuple[int, str]] = []
    async for seq, kind, event in follow(api_server, run.id):
        assert event == (await api.list_events(run.id, from_seq=seq))[0]
        seen.append((seq, kind))
        if seq == 1:
            await api.append_events(run.id, [message("one"), message("two")])
        elif seq == 3:
            await step(api, run, RunEventName.RUN_FAILED)
    assert seen == [
        (1, "RunStarted"),
        (2, "AgentMessage"),
        (3, "AgentMessage"),
        (4, "StateChanged"),
        (5, "RunFinished"),
    ]


@pytest.mark.parametrize("query", ["?from_seq=3", ""])
async def test_a_reader_resumes_after_what_it_has_seen(query: str, api: ApiClient, api_server: ApiServer) -> None:
    run = await claimed_run(api)
    await api.append_events(run.id, [message("one")])
    await step(api, run, RunEventName.RUN_FAILED)
    last = None if query else 2
    seqs = [seq async for seq, _, _ in follow(api_server, run.id, last_event_id=last, query=query)]
    assert seqs == [3, 4]


async def test_a_reader_that_has_seen_the_end_is_told_not_to_come_back(api: ApiClient, api_server: ApiServer) -> None:
    run = await step(api, await claimed_run(api), RunEventName.RUN_FAILED)
    headers = {"Authorization": f"Bearer {api_server.service_token()}", "Last-Event-ID": str(run.last_seq)}
    async with httpx.AsyncClient(base_url=api_server.base_url) as client:
        answer = await client.get(f"/api/runs/{run.id}/stream", headers=headers)
    assert answer.status_code == 204


async def test_a_reader_ahead_of_the_run_holds_up_nobody(api: ApiClient, api_server: ApiServer) -> None:
    run = await claimed_run(api)
    ahead = asyncio.create_task(collect(api_server, run.id, "?from_seq=1000"))
    behind = asyncio.create_task(collect(api_server, run.id, ""))
    await step(api, run, RunEventName.START_PLANNING, RunEventName.PLAN_FAILED)
    assert await behind == [1, 2, 3, 4]
    assert (await ahead)[-1] == 4


async def collect(process: ApiServer, run_id: str, query: str) -> list[int]:
    return [seq async for seq, _, _ in follow(process, run_id, query=query)]


async def test_a_long_history_arrives_whole_and_once(api: ApiClient, api_server: ApiServer) -> None:
    run = await claimed_run(api)
    for start in range(0, 1500, 500):
        await api.append_events(run.id, [message(str(start + number)) for number in range(500)])
    first = asyncio.create_task(collect(api_server, run.id, ""))
    second = asyncio.create_task(collect(api_server, run.id, "?from_seq=700"))
    await api.append_events(run.id, [message("late")])
    await step(api, run, RunEventName.RUN_FAILED)
    assert await first == list(range(1, 1505))
    assert await second == list(range(700, 1505))


@pytest.mark.parametrize("is_killed", [True, False])
async def test_a_reader_misses_nothing_when_the_api_restarts(is_killed: bool, database_url: str) -> None:
    async with running_api(database_url, is_migrated=True) as process:
        async with ApiClient(process.base_url, process.service_token()) as api:
            run = await claimed_run(api)
            reader = asyncio.create_task(persistent(process.server, run))
            await api.append_events(run.id, [message(str(number)) for number in range(5)])
            await (process.kill() if is_killed else process.stop())
            await process.start()
            await api.append_events(run.id, [message(str(number)) for number in range(5)])
            await step(api, run, RunEventName.RUN_FAILED)
            assert await reader == list(range(1, 14))
            assert (await wait_for_run_completion(api, run.id, 5)).id == run.id


async def persistent(process: ApiServer, run: RunDTO) -> list[int]:
    """Read as a browser does: reconnect with the last id until the last event was seen."""
    seqs: list[int] = []
    while True:
        try:
            stream = follow(process, run.id, last_event_id=seqs[-1] if seqs else 0)
            async with aclosing(stream):
                async for seq, kind, _ in stream:
                    seqs.append(seq)
                    if kind == RunEventType.RUN_FINISHED:
                        return seqs
        except httpx.TransportError:
            await asyncio.sleep(0.05)


async def test_five_hundred_events_of_one_run_reach_ten_readers(api: ApiClient, api_server: ApiServer) -> None:
    run = await claimed_run(api)
    readers = [asyncio.create_task(collect(api_server, run.id, "")) for _ in range(10)]
    for _ in range(20):
        await api.append_events(run.id, [message("x") for _ in range(25)])
    await step(api, run, RunEventName.RUN_FAILED)
    for reader in readers:
        assert await reader == list(range(1, 504))


async def test_the_data_of_an_event_is_what_the_events_route_returns(api: ApiClient, api_server: ApiServer) -> None:
    run = await claimed_run(api)
    tricky = RunEventPayload(message='a "quoted"\nline — ünïcode', data={"a": [1, {"b": None}]})
    await api.append_events(run.id, [RunEventAppend(type=RunEventType.DEBUG_TRACE, payload=tricky)])
    await step(api, run, RunEventName.RUN_FAILED)
    events = [event async for _, _, event in follow(api_server, run.id)]
    assert events == await api.list_events(run.id)
    assert json.loads(events[1].payload.model_dump_json())["message"] == 'a "quoted"\nline — ünïcode'
