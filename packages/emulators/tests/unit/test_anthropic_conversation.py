"""Requests as agents really send them are read as a person would."""

import json
from typing import Any

import pytest

from emulators.anthropic.conversation import MessagesRequest, Prompt, parse_request, read_prompt
from emulators.anthropic.errors import ApiError

SESSION = "9a08920c-1d2e-478d-9a7d-a23089a383c6"


def user(*texts: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def calls(*ids: str, name: str = "Bash") -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": id_, "name": name, "input": {}} for id_ in ids],
    }


def result(id_: str, content: Any, *, is_error: bool = False) -> dict[str, Any]:
    return {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": id_, "content": content, "is_error": is_error}],
    }


def prompt_of(*messages: dict[str, Any], **more: Any) -> Prompt:
    body = {"model": "claude-x", "max_tokens": 10, "messages": list(messages), **more}
    return read_prompt(parse_request(MessagesRequest, json.dumps(body).encode()))


def test_reminders_of_the_agent_are_not_what_the_user_said() -> None:
    prompt = prompt_of(user("<system-reminder>\nToday is\n2026\n</system-reminder>\n", "build a site"))
    assert prompt.user_text == "build a site"
    assert prompt.last_text == "build a site"


def test_a_trailing_system_message_belongs_to_the_system_prompt() -> None:
    prompt = prompt_of(user("hi"), {"role": "system", "content": "Agent types: none"}, system="You are")
    assert prompt.user_spoke_last
    assert "You are" in prompt.system
    assert "Agent types: none" in prompt.system


def test_a_plain_string_is_a_message() -> None:
    assert prompt_of({"role": "user", "content": "hi"}).user_text == "hi"


def test_the_latest_stage_marker_of_the_user_wins() -> None:
    prompt = prompt_of(
        user("[stage:plan]\nplan it"), {"role": "assistant", "content": "ok"}, user("now\n  [stage:code]  \nwrite it")
    )
    assert prompt.stage == "code"


def test_a_stage_marker_inside_a_line_or_a_tool_result_is_none() -> None:
    prompt = prompt_of(user("the line [stage:code] is quoted"), calls("t1"), result("t1", "[stage:review]"))
    assert prompt.stage is None


def test_tool_results_speak_last_and_name_their_tools() -> None:
    prompt = prompt_of(
        user("go"),
        calls("t1", "t2"),
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "id=42"},
                {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "boom"}]},
                {"type": "text", "text": "<system-reminder>todo</system-reminder>"},
            ],
        },
    )
    assert prompt.tools_spoke_last
    assert not prompt.user_spoke_last
    assert prompt.tool_names == ("Bash", "Bash")
    assert prompt.last_text == "id=42\nboom"


def test_an_error_result_is_an_error() -> None:
    assert prompt_of(user("go"), calls("t1"), result("t1", "no", is_error=True)).tool_is_error


def test_turns_count_all_replies_and_steps_those_since_the_user_spoke() -> None:
    prompt = prompt_of(
        user("one"), {"role": "assistant", "content": "a"}, user("two"), calls("t1"), result("t1", "done")
    )
    assert (prompt.turn, prompt.step) == (2, 1)


@pytest.mark.parametrize(
    "user_id",
    [
        f"user_abc_account__session_{SESSION}",
        json.dumps({"device_id": "d", "account_uuid": "", "session_id": SESSION}),
    ],
)
def test_the_session_is_the_conversation(user_id: str) -> None:
    assert prompt_of(user("hi"), metadata={"user_id": user_id}).conversation == SESSION


def test_without_a_session_the_first_message_is_the_conversation() -> None:
    first = prompt_of(user("hi"))
    later = prompt_of(user("hi"), {"role": "assistant", "content": "yes"}, user("more"))
    other = prompt_of(user("hello"))
    assert first.conversation == later.conversation != other.conversation


def test_a_result_of_an_unknown_call_is_refused() -> None:
    with pytest.raises(ApiError, match="unexpected `tool_use_id`") as caught:
        prompt_of(user("go"), calls("t1"), result("t2", "x"))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [(b"{", "body"), (b'{"model": "m", "max_tokens": 1}', "messages"), (b'{"messages": [], "model": "m"}', "messages")],
)
def test_an_unusable_body_is_refused_by_naming_the_field(body: bytes, field: str) -> None:
    with pytest.raises(ApiError, match=f"^{field}: "):
        parse_request(MessagesRequest, body)
