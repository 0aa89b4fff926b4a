"""Two runs of one conversation ask the same thing, whatever ids and dates they carry."""

import json
from typing import Any

from emulators.anthropic.cassettes import fingerprint
from emulators.anthropic.conversation import MessagesRequest, parse_request


def key(text: str, *, tool_id: str = "toolu_a", cwd: str = "/tmp/one", day: str = "2026-11-21", **more: Any) -> str:
    body = {
        "model": "m",
        "max_tokens": 1,
        "system": [{"type": "text", "text": f"cwd: {cwd}\nToday is {day}", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": f"<system-reminder>{day}</system-reminder>{text}"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": tool_id, "name": "Bash", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": tool_id, "content": f"ran in {cwd}"}]},
        ],
        **more,
    }
    return fingerprint("/v1/messages", parse_request(MessagesRequest, json.dumps(body).encode()))[0]


def test_ids_dates_and_folders_do_not_matter() -> None:
    assert key("hi") == key("hi", tool_id="toolu_b", cwd="/srv/two/deep", day="2027-01-01")


def test_what_is_said_and_how_it_is_asked_do_matter() -> None:
    assert len({key("hi"), key("ho"), key("hi", stream=True), key("hi", model="other")}) == 4
