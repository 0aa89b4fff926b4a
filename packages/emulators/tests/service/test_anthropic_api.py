"""The Messages API emulator as a process: what a client of the real API would see."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulators.anthropic.fixtures import RunningAnthropic, running_anthropic
from emulators.process import EmulatorStartError

pytestmark = pytest.mark.service

HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
SCRIPT = """
name: wire
model_usage: {input_tokens: 10, output_tokens: 4}
rules:
  - name: cut
    when: {last_user_contains: cut me}
    cut_after_events: 3
    reply: [{text: never whole}]
  - name: broken-off
    when: {last_user_contains: overload me}
    cut_after_events: 2
    reply: [{text: never whole}]
    error: {status: 529, type: overloaded_error, message: Overloaded}
  - name: garbage
    when: {last_user_contains: garbage}
    garbage: true
  - name: limited
    when: {last_user_contains: limit}
    error: {status: 429, type: rate_limit_error, message: Slow down, headers: {retry-after: "7"}}
  - name: files
    when: {last_user_contains: files}
    reply:
      - {files_from: app, into: src}
      - {tool: Write, input: {file_path: one, content_from: app/main.py}}
  - name: hello
    when: {last_user_contains: hello}
    reply: [{text: hi}]
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("print('${NOT_A_VALUE}')\n")
    path = tmp_path / "script.yaml"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
async def emulator(tmp_path: Path, script: Path) -> AsyncIterator[RunningAnthropic]:
    async with running_anthropic(tmp_path / "state", [script]) as running:
        yield running


@pytest.fixture
async def client(emulator: RunningAnthropic) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=emulator.base_url, headers=HEADERS, timeout=10) as opened:
        yield opened


def asking(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": text}], **more}


async def test_a_whole_and_a_streamed_answer(client: httpx.AsyncClient, emulator: RunningAnthropic) -> None:
    whole = await client.post("/v1/messages", json=asking("hello"))
    assert whole.json()["content"] == [{"type": "text", "text": "hi"}]
    assert whole.headers["request-id"].startswith("req_")
    streamed = await client.post("/v1/messages", json=asking("hello", stream=True))
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.text.startswith("event: message_start\ndata: {")
    assert streamed.text.endswith('event: message_stop\ndata: {"type": "message_stop"}\n\n')
    usage = await emulator.usage()
    assert (usage.input_tokens, usage.output_tokens, usage.requests) == (20, 8, 2)


async def test_the_small_endpoints(client: httpx.AsyncClient) -> None:
    assert (await client.head("/")).status_code == 200
    counted = await client.post("/v1/messages/count_tokens", json={"model": "m", "messages": asking("x")["messages"]})
    assert counted.json()["input_tokens"] > 0
    models = (await client.get("/v1/models")).json()
    assert models["has_more"] is False
    first = models["data"][0]["id"]
    assert (await client.get(f"/v1/models/{first}")).json()["id"] == first
    assert (await client.get("/v1/models/none")).json()["error"]["type"] == "not_found_error"
    assert (await client.get("/v1/nothing")).json()["error"]["type"] == "not_found_error"


async def test_an_unmatched_prompt_fails_loudly_and_is_recorded(
    client: httpx.AsyncClient, emulator: RunningAnthropic
) -> None:
    refused = await client.post("/v1/messages", json=asking("who are you"))
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "invalid_request_error"
    assert "who are you" in refused.json()["error"]["message"]
    [recording] = await emulator.recordings()
    assert (recording.unmatched, recording.usage.input_tokens) == (True, 0)


async def test_scripted_failures_have_the_api_s_shape(client: httpx.AsyncClient, emulator: RunningAnthropic) -> None:
    limited = await client.post("/v1/messages", json=asking("limit"))
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
    assert limited.json()["type"] == "error"
    assert limited.json()["error"] == {"type": "rate_limit_error", "message": "Slow down"}
    garbage = await client.post("/v1/messages", json=asking("garbage", stream=True))
    assert garbage.status_code == 200
    with pytest.raises(ValueError):
        json.loads(garbage.content)
    broken_off = await client.post("/v1/messages", json=asking("overload me", stream=True))
    assert "event: error" in broken_off.text
    assert "message_stop" not in broken_off.text
    assert (await emulator.usage()).output_tokens == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_a_cut_answer_breaks_the_connection(client: httpx.AsyncClient, stream: bool) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/v1/messages", json=asking("cut me", stream=stream))


async def test_files_come_with_the_script_verbatim(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/v1/messages", json=asking("files"))).json()
    content = "print('${NOT_A_VALUE}')\n"
    assert [block["input"] for block in answer["content"]] == [
        {"file_path": "src/main.py", "content": content},
        {"file_path": "one", "content": content},
    ]
    assert answer["stop_reason"] == "tool_use"


async def test_the_script_can_be_replaced_and_a_bad_one_changes_nothing(
    client: httpx.AsyncClient, emulator: RunningAnthropic
) -> None:
    with pytest.raises(RuntimeError, match=r"422.*rule 1"):
        await emulator.put_script("name: x\nrules: [{name: one}]")
    assert (await client.post("/v1/messages", json=asking("hello"))).status_code == 200
    await emulator.put_script("name: x\nrules: [{name: one, reply: [{text: new}]}]")
    assert (await client.post("/v1/messages", json=asking("hello"))).json()["content"][0]["text"] == "new"
    await emulator.reset()
    assert await emulator.recordings() == []


async def test_keys_are_checked(tmp_path: Path, script: Path) -> None:
    async with running_anthropic(tmp_path / "state", [script], api_key="right") as emulator:
        async with httpx.AsyncClient(base_url=emulator.base_url) as client:

            async def status(**headers: str) -> tuple[int, str]:
                version = {"anthropic-version": "2023-06-01"}
                answer = await client.post("/v1/messages", json=asking("hello"), headers={**version, **headers})
                return answer.status_code, answer.json().get("error", {}).get("type", "")

            assert await status() == (401, "authentication_error")
            assert await status(**{"x-api-key": "wrong"}) == (401, "authentication_error")
            assert await status(authorization="Bearer wrong") == (401, "authentication_error")
            assert await status(**{"x-api-key": "right"}) == (200, "")
            assert await status(authorization="Bearer right") == (200, "")
            bare = await client.post("/v1/messages", json=asking("hello"), headers={"x-api-key": "right"})
            assert (bare.status_code, "anthropic-version" in bare.text) == (400, True)


async def test_recordings_outlive_a_restart(tmp_path: Path, script: Path) -> None:
    for expected in (1, 2):
        async with running_anthropic(tmp_path / "state", [script]) as emulator:
            async with httpx.AsyncClient(base_url=emulator.base_url, headers=HEADERS) as client:
                await client.post("/v1/messages", json=asking("hello", system="You are"))
            assert (await emulator.usage()).requests == expected
            assert [recording.id for recording in await emulator.recordings()] == list(range(1, expected + 1))
            assert (await emulator.recordings())[-1].request.system == "You are"


async def test_what_was_recorded_is_replayed_without_any_secret(tmp_path: Path, script: Path) -> None:
    cassettes = tmp_path / "cassettes"
    key = "sk-ant-api03-very-secret"
    texts: list[list[str]] = []

    async def ask(base_url: str, folder: str) -> list[str]:
        async with httpx.AsyncClient(base_url=base_url, headers={**HEADERS, "x-api-key": key}) as client:
            prompts = [asking(f"hello in {folder}", stream=stream) for stream in (True, False)]
            answers = [await client.post("/v1/messages", json=prompt) for prompt in prompts]
            return [answer.text for answer in answers]

    async with running_anthropic(tmp_path / "real", [script], api_key=key) as real:
        options = ["--mode", "record", "--upstream", real.base_url, "--cassettes", str(cassettes)]
        async with running_anthropic(tmp_path / "record", options=options) as recorder:
            texts.append(await ask(recorder.base_url, "/tmp/one"))
            assert (await recorder.usage()) == (await real.usage())
    async with running_anthropic(
        tmp_path / "replay", options=["--mode", "replay", "--cassettes", str(cassettes)]
    ) as player:
        texts.append(await ask(player.base_url, "/tmp/two"))
        assert (await player.usage()).input_tokens == 20
        async with httpx.AsyncClient(base_url=player.base_url, headers=HEADERS) as client:
            unknown = await client.post("/v1/messages", json=asking("something else"))
            assert (unknown.status_code, "no cassette" in unknown.text) == (400, True)
    assert texts[0] == texts[1]
    saved = [path.read_text() for path in cassettes.iterdir()]
    assert len(saved) == 2
    assert not any("very-secret" in text for text in saved)


async def test_a_bad_script_stops_the_start_with_its_reason(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\nrules: [{name: one, when: {stage: dance}, reply: [{text: a}]}]")
    with pytest.raises(EmulatorStartError, match=r"rule 1 \(one\): when.stage"):
        async with running_anthropic(tmp_path / "state", [bad]):
            pass
