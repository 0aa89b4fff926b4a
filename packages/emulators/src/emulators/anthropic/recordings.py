"""Keeps every request to the Messages API, with the usage it was given, as JSON lines that outlive a restart."""

import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, JsonValue

from emulators.anthropic.conversation import MessagesRequest, Prompt, system_text
from emulators.anthropic.script import Usage

FILE_NAME = "recordings.jsonl"

Outcome = Literal["answered", "error", "unmatched", "cut", "garbage", "abandoned", "recorded", "replayed"]


class RecordedRequest(BaseModel):
    """What was asked."""

    system: str
    messages: list[JsonValue]
    tools: list[str]


class Recording(BaseModel):
    """One request to /v1/messages and what became of it; only answers that went out whole have a usage."""

    id: int
    ts: float
    script: str | None
    rule: str | None
    model: str
    stream: bool
    stage: str | None
    conversation: str
    outcome: Outcome
    unmatched: bool
    request: RecordedRequest
    usage: Usage


class UsageSum(BaseModel):
    """Tokens of all recorded answers."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    requests: int = 0

    def add(self, usage: Usage) -> None:
        """Count one request."""
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cache_read_input_tokens += usage.cache_read_input_tokens
        self.cache_creation_input_tokens += usage.cache_creation_input_tokens
        self.requests += 1


class Recordings:
    """The file of recordings and their running sum."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE_NAME
        self.usage = UsageSum()
        self._last_id = 0
        for recording in self.read():
            self._last_id = recording.id
            self.usage.add(recording.usage)

    def add(
        self,
        request: MessagesRequest,
        prompt: Prompt,
        outcome: Outcome,
        *,
        source: tuple[str, str] | None = None,
        usage: Usage | None = None,
    ) -> None:
        """Append one request; source is the script and the rule that answered."""
        self._last_id += 1
        recording = Recording(
            id=self._last_id,
            ts=time.time(),
            script=source[0] if source else None,
            rule=source[1] if source else None,
            model=request.model,
            stream=request.stream,
            stage=prompt.stage,
            conversation=prompt.conversation,
            outcome=outcome,
            unmatched=outcome == "unmatched",
            request=RecordedRequest(
                system=system_text(request.system),
                messages=[message.model_dump(mode="json", exclude_unset=True) for message in request.messages],
                tools=[tool.name for tool in request.tools],
            ),
            usage=usage or Usage(),
        )
        with self._path.open("a") as file:
            file.write(recording.model_dump_json() + "\n")
        self.usage.add(recording.usage)

    def read(self, after: int = 0) -> list[Recording]:
        """Return the recordings with an id above `after`, oldest first."""
        if not self._path.exists():
            return []
        with self._path.open() as file:
            # A crash can leave half a last line behind; it has no line end yet.
            found = [Recording.model_validate_json(line) for line in file if line.endswith("\n")]
        return [recording for recording in found if recording.id > after]

    def clear(self) -> None:
        """Forget everything."""
        self._path.write_text("")
        self.usage = UsageSum()
