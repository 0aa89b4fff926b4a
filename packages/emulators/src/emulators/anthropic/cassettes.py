"""Saves real answers under a hash of the request and gives them back; no request header is ever saved."""

import hashlib
import json
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from emulators.anthropic.conversation import MessagesRequest, TokensRequest, system_text
from emulators.anthropic.errors import ApiError, CassetteError
from emulators.anthropic.script import Usage

SECRET = re.compile(r"sk-ant-[A-Za-z0-9_-]+")
# What differs between two runs of the same conversation: the agent puts these into prompts and system texts.
VOLATILE = (
    (re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL), ""),
    (re.compile(r"x-anthropic-billing-header:[^\n]*"), ""),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"\btoolu_[A-Za-z0-9_]+"), "TOOL"),
    (re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?"), "DATE"),
    (re.compile(r"(?<![\w.])/(?:[\w.@-]+/)*[\w.@-]+"), "PATH"),
    (re.compile(r"\s+"), " "),
)


class SavedAnswer(BaseModel):
    """One answer of the real API, without its headers but the content type."""

    status: int
    content_type: str
    body: str


class Cassette(BaseModel):
    """All answers one request got, in order; they are replayed in that order and the last one stays."""

    path: str
    request: str
    answers: list[SavedAnswer]


class Cassettes:
    """A folder of cassettes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._replayed: dict[str, int] = {}

    def save(self, path: str, request: TokensRequest, answer: SavedAnswer) -> None:
        """Add an answer to the cassette of its request."""
        key, canonical = fingerprint(path, request)
        cassette = self._load(key) or Cassette(path=path, request=SECRET.sub("SECRET", canonical), answers=[])
        cassette.answers.append(answer.model_copy(update={"body": SECRET.sub("SECRET", answer.body)}))
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f"{key}.part"
        unfinished.write_text(cassette.model_dump_json(indent=1))
        unfinished.replace(self._folder / f"{key}.json")

    def replay(self, path: str, request: TokensRequest) -> SavedAnswer:
        """Return the next saved answer; raises ApiError (400) when there is none."""
        key, canonical = fingerprint(path, request)
        cassette = self._load(key)
        if cassette is None:
            raise ApiError.invalid_request(f"no cassette {key}.json for {path}: {canonical[-600:]}")
        at = self._replayed.get(key, 0)
        self._replayed[key] = at + 1
        return cassette.answers[min(at, len(cassette.answers) - 1)]

    def rewind(self) -> None:
        """Start every cassette from its first answer again."""
        self._replayed.clear()

    def _load(self, key: str) -> Cassette | None:
        file = self._folder / f"{key}.json"
        if not file.exists():
            return None
        try:
            return Cassette.model_validate_json(file.read_text())
        except (OSError, ValidationError) as error:
            raise CassetteError(f"{file}: {error}") from error


def fingerprint(path: str, request: TokensRequest) -> tuple[str, str]:
    """Return the hash of a request and the canonical text it was made from."""
    messages = [message.model_dump(mode="json", exclude={"cache_control"}) for message in request.messages]
    canonical = json.dumps(
        {
            "path": path,
            "model": request.model,
            "stream": request.stream if isinstance(request, MessagesRequest) else False,
            "system": _steady(system_text(request.system)),
            "tools": sorted(tool.name for tool in request.tools),
            "messages": _steady(json.dumps(_without_cache_marks(messages), sort_keys=True, ensure_ascii=False)),
        },
        sort_keys=True,
        ensure_ascii=False,
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:24], canonical


def _without_cache_marks(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: _without_cache_marks(part)
            for key, part in value.items()
            if key != "cache_control" and part is not None
        }
    if isinstance(value, list):
        return [_without_cache_marks(part) for part in value]
    return value


def _steady(text: str) -> str:
    for pattern, replacement in VOLATILE:
        text = pattern.sub(replacement, text)
    return text


class _WireUsage(BaseModel):
    model_config = ConfigDict(extra="ignore")

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _WireUsageHolder(BaseModel):
    model_config = ConfigDict(extra="ignore")

    usage: _WireUsage | None = None
    message: "_WireUsageHolder | None" = None


def usage_in(answer: SavedAnswer) -> Usage:
    """Return the usage an answer reports, streamed or not; nothing for an error."""
    if answer.status >= 400:
        return Usage()
    if "text/event-stream" in answer.content_type:
        parts = [line[5:].strip() for line in answer.body.splitlines() if line.startswith("data:")]
    else:
        parts = [answer.body]
    usage = Usage()
    for part in parts:
        try:
            holder = _WireUsageHolder.model_validate_json(part)
        except ValidationError:
            # A stream that broke off ends in half a line; what was reported before it counts.
            continue
        for reported in (holder.message.usage if holder.message else None, holder.usage):
            if reported is not None:
                usage = usage.model_copy(update=reported.model_dump(exclude_none=True))
    return usage
