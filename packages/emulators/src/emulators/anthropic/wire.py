"""Puts a reply on the wire as the Messages API does: one JSON message, or its server-sent events."""

import json
import uuid
from collections.abc import Iterator

from pydantic import JsonValue

from emulators.anthropic.engine import Reply, TextReply, ToolReply
from emulators.anthropic.errors import ApiError
from emulators.anthropic.script import Usage

SMALLEST_PIECE = 16
PIECES = 6

Event = tuple[str, dict[str, JsonValue]]


def new_message_id() -> str:
    """Return an id for a message."""
    return f"msg_{uuid.uuid4().hex[:24]}"


def message_body(reply: Reply, model: str, message_id: str) -> dict[str, JsonValue]:
    """Return the answer to a request without streaming."""
    content: list[JsonValue] = [_whole_block(block) for block in reply.blocks]
    return _message(message_id, model, content, reply.stop_reason, _usage(reply.usage))


def error_body(error: ApiError, request_id: str) -> dict[str, JsonValue]:
    """Return the API's error shape."""
    return {"type": "error", "error": {"type": error.kind, "message": error.message}, "request_id": request_id}


def message_events(reply: Reply, model: str, message_id: str) -> Iterator[Event]:
    """Yield the events of a streamed answer in the API's order."""
    opening = _usage(reply.usage.model_copy(update={"output_tokens": min(1, reply.usage.output_tokens)}))
    yield "message_start", {"type": "message_start", "message": _message(message_id, model, [], None, opening)}
    for index, block in enumerate(reply.blocks):
        yield from _block_events(index, block)
        if index == 0:
            yield "ping", {"type": "ping"}
    delta: dict[str, JsonValue] = {"stop_reason": reply.stop_reason, "stop_sequence": None}
    yield "message_delta", {"type": "message_delta", "delta": delta, "usage": _usage(reply.usage)}
    yield "message_stop", {"type": "message_stop"}


def encode_event(event: Event) -> bytes:
    """Return one server-sent event."""
    name, data = event
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _message(
    message_id: str, model: str, content: list[JsonValue], stop_reason: str | None, usage: JsonValue
) -> dict[str, JsonValue]:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _usage(usage: Usage) -> dict[str, JsonValue]:
    return {**usage.model_dump(), "service_tier": "standard"}


def _whole_block(block: TextReply | ToolReply) -> JsonValue:
    if isinstance(block, TextReply):
        return {"type": "text", "text": block.text}
    return {"type": "tool_use", "id": block.id, "name": block.name, "input": block.input}


def _block_events(index: int, block: TextReply | ToolReply) -> Iterator[Event]:
    deltas: list[dict[str, JsonValue]]
    if isinstance(block, TextReply):
        start: dict[str, JsonValue] = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block.text)]
    else:
        start = {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}
        # The API opens the input with an empty piece.
        pieces = ["", *_pieces(json.dumps(block.input, ensure_ascii=False))]
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    yield "content_block_start", {"type": "content_block_start", "index": index, "content_block": start}
    for delta in deltas:
        yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
    yield "content_block_stop", {"type": "content_block_stop", "index": index}


def _pieces(text: str) -> list[str]:
    size = max(SMALLEST_PIECE, -(-len(text) // PIECES))
    return [text[start : start + size] for start in range(0, len(text), size)]
