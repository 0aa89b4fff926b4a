"""A streamed answer carries the same message as a whole one."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from emulators.anthropic.cassettes import SavedAnswer, usage_in
from emulators.anthropic.engine import Reply, TextReply, ToolReply
from emulators.anthropic.script import Usage
from emulators.anthropic.wire import encode_event, message_body, message_events

USAGE = Usage(input_tokens=12, output_tokens=7, cache_read_input_tokens=3)


def assembled(reply: Reply) -> dict[str, Any]:
    """Put the events together the way a client does."""
    message: dict[str, Any] = {}
    pieces: list[str] = []
    for event, untyped in message_events(reply, "m", "msg_1"):
        data: dict[str, Any] = json.loads(json.dumps(untyped))
        assert data["type"] == event
        if event == "message_start":
            message = data["message"]
        elif event == "content_block_start":
            message["content"].append(data["content_block"])
            pieces = []
        elif event == "content_block_delta":
            pieces.append(data["delta"].get("text", data["delta"].get("partial_json")))
        elif event == "content_block_stop":
            block = message["content"][data["index"]]
            if block["type"] == "text":
                block["text"] = "".join(pieces)
            else:
                block["input"] = json.loads("".join(pieces))
        elif event == "message_delta":
            message |= data["delta"]
            message["usage"] = data["usage"]
    return message


blocks = st.lists(
    st.one_of(
        st.builds(TextReply, st.text()),
        st.builds(
            ToolReply, st.just("toolu_1"), st.just("Bash"), st.dictionaries(st.text(), st.one_of(st.text(), st.none()))
        ),
    ),
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(blocks)
def test_the_events_add_up_to_the_whole_message(given_blocks: list[TextReply | ToolReply]) -> None:
    reply = Reply(tuple(given_blocks), "end_turn", USAGE)
    assert assembled(reply) == message_body(reply, "m", "msg_1")


def test_the_events_come_in_the_order_of_the_real_api() -> None:
    reply = Reply((TextReply("hi"), ToolReply("toolu_1", "Write", {"content": "x" * 200})), "tool_use", USAGE)
    names = [name for name, _ in message_events(reply, "m", "msg_1")]
    assert names[:5] == ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "ping"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert names.count("content_block_delta") > 4


def test_usage_is_read_back_from_a_stream_and_from_a_whole_answer() -> None:
    reply = Reply((TextReply("hi"),), "end_turn", USAGE)
    stream = b"".join(encode_event(event) for event in message_events(reply, "m", "msg_1")).decode()
    whole = json.dumps(message_body(reply, "m", "msg_1"))
    assert usage_in(SavedAnswer(status=200, content_type="text/event-stream; charset=utf-8", body=stream)) == USAGE
    assert usage_in(SavedAnswer(status=200, content_type="application/json", body=whole)) == USAGE
    assert usage_in(SavedAnswer(status=429, content_type="application/json", body=whole)) == Usage()
