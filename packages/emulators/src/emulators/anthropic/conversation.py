"""Reads a Messages API request: who spoke last, about what, at which stage. Knows nothing of scripts."""

import hashlib
import re
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emulators.anthropic.errors import ApiError

REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
STAGE_MARKER = re.compile(r"^[ \t]*\[stage:([a-z_]+)\][ \t]*$", re.MULTILINE)
SESSION = re.compile(r"session(?:_id)?[\"':_ ]+([0-9a-fA-F-]{36})")


class _WireModel(BaseModel):
    model_config = ConfigDict(extra="allow")


class ContentBlock(_WireModel):
    """A content block of any type; only the fields we read are named."""

    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    tool_use_id: str | None = None
    content: "str | list[ContentBlock] | None" = None
    is_error: bool | None = None


class WireMessage(_WireModel):
    """One message of the conversation."""

    role: str
    content: str | list[ContentBlock]

    def blocks(self) -> list[ContentBlock]:
        """Return the content as blocks, also when it was given as a plain string."""
        return [ContentBlock(type="text", text=self.content)] if isinstance(self.content, str) else self.content

    def typed_text(self) -> str:
        """Return what a person typed: text blocks without the agent's own reminders."""
        texts = (REMINDER.sub("", block.text or "").strip() for block in self.blocks() if block.type == "text")
        return "\n".join(text for text in texts if text)


class RequestMetadata(_WireModel):
    """Metadata of a request; the agent puts its session into user_id."""

    user_id: str | None = None


class OfferedTool(_WireModel):
    """A tool the client offers."""

    name: str = ""


class TokensRequest(_WireModel):
    """The body of /v1/messages/count_tokens."""

    model: str = Field(min_length=1)
    messages: list[WireMessage] = Field(min_length=1)
    system: str | list[ContentBlock] | None = None
    tools: list[OfferedTool] = []
    metadata: RequestMetadata | None = None


class MessagesRequest(TokensRequest):
    """The body of /v1/messages."""

    max_tokens: int = Field(ge=0)
    stream: bool = False


RequestT = TypeVar("RequestT", bound=TokensRequest)


@dataclass(frozen=True)
class Prompt:
    """What a request is about, as far as scripts may ask."""

    conversation: str
    model: str
    system: str
    stage: str | None
    user_text: str
    user_spoke_last: bool
    tool_names: tuple[str, ...]
    tool_text: str
    tool_is_error: bool
    tools_spoke_last: bool
    turn: int
    step: int

    @property
    def last_text(self) -> str:
        """Return the text the reply answers: tool results when there are any, else what the user typed."""
        return self.tool_text if self.tools_spoke_last else self.user_text


def parse_request(kind: type[RequestT], body: bytes) -> RequestT:
    """Parse a body as the API does; raises ApiError (400) naming the field."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"]) or "body"
        raise ApiError.invalid_request(f"{field}: {problem['msg']}") from error


def read_prompt(request: TokensRequest) -> Prompt:
    """Sum up a request for matching; raises ApiError (400) when tool results answer no tool call.

    The agent also sends messages of role system, after the user's too: they belong to the system prompt.
    """
    replies = [at for at, message in enumerate(request.messages) if message.role == "assistant"]
    tail_start = replies[-1] + 1 if replies else 0
    results = [
        block
        for message in request.messages[tail_start:]
        if message.role == "user"
        for block in message.blocks()
        if block.type == "tool_result"
    ]
    called = _called_tools(request)
    for block in results:
        if block.tool_use_id not in called:
            raise ApiError.invalid_request(
                f"messages.{tail_start}: unexpected `tool_use_id` found in `tool_result` blocks: {block.tool_use_id}"
            )
    typed = [(at, message.typed_text()) for at, message in enumerate(request.messages) if message.role == "user"]
    spoken = [(at, text) for at, text in typed if text]
    last_spoken = spoken[-1][0] if spoken else -1
    markers = [marker for _, text in spoken for marker in STAGE_MARKER.findall(text)]
    return Prompt(
        conversation=_conversation_key(request, spoken[0][1] if spoken else ""),
        model=request.model,
        system=full_system_text(request),
        stage=markers[-1] if markers else None,
        user_text=spoken[-1][1] if spoken else "",
        user_spoke_last=last_spoken >= tail_start,
        tool_names=tuple(called[block.tool_use_id] for block in results),
        tool_text="\n".join(_result_text(block) for block in results),
        tool_is_error=any(block.is_error for block in results),
        tools_spoke_last=bool(results),
        turn=len(replies),
        step=sum(at > last_spoken for at in replies),
    )


def full_system_text(request: TokensRequest) -> str:
    """Return the system prompt and the system messages as one text."""
    later = [block.text or "" for message in request.messages if message.role == "system" for block in message.blocks()]
    return "\n".join([system_text(request.system), *later])


def _called_tools(request: TokensRequest) -> dict[str | None, str]:
    return {
        block.id: block.name or ""
        for message in request.messages
        if message.role == "assistant"
        for block in message.blocks()
        if block.type == "tool_use"
    }


def system_text(system: str | list[ContentBlock] | None) -> str:
    """Return the system prompt as one text."""
    if system is None or isinstance(system, str):
        return system or ""
    return "\n".join(block.text or "" for block in system)


def _result_text(block: ContentBlock) -> str:
    if isinstance(block.content, str):
        return REMINDER.sub("", block.content)
    return "\n".join(REMINDER.sub("", part.text or "") for part in block.content or [])


def _conversation_key(request: TokensRequest, first_text: str) -> str:
    user_id = request.metadata.user_id if request.metadata else None
    session = SESSION.search(user_id or "")
    if session is not None:
        return session.group(1)
    return "first-message-" + hashlib.sha256(first_text.encode()).hexdigest()[:16]
