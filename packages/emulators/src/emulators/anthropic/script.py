"""The script language: which prompt gets which reply. Parses and checks YAML; never matches anything itself.

A value in a reply may hold ${name}, a captured value; a literal ${ is written $${. Text taken from files is verbatim.
"""

import re
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from emulators.anthropic.errors import ScriptError

Stage = Literal["plan", "code", "review", "po"]


class ScriptModel(BaseModel):
    """Base of the script's parts: a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Usage(ScriptModel):
    """Tokens of one reply."""

    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    cache_creation_input_tokens: int = Field(default=0, ge=0)
    cache_read_input_tokens: int = Field(default=0, ge=0)

    def overridden_by(self, other: "Usage | None") -> "Usage":
        """Return these tokens with the fields that the other one really gives."""
        return self if other is None else self.model_copy(update=other.model_dump(exclude_unset=True))


class When(ScriptModel):
    """Conditions that must all hold; an absent one always holds.

    A user condition without a tool condition, turn or step holds only while the user spoke last, so that the rule
    does not answer its own tool results again.
    """

    system_contains: str | None = None
    model_contains: str | None = None
    last_user_contains: str | None = None
    last_user_matches: str | None = None
    stage: Stage | None = None
    after_tool: str | None = None
    last_tool_contains: str | None = None
    last_tool_matches: str | None = None
    tool_result_is_error: bool | None = None
    times: int | None = Field(default=None, ge=1)
    turn: int | None = Field(default=None, ge=0)
    step: int | None = Field(default=None, ge=0)

    @field_validator("last_user_matches", "last_tool_matches")
    @classmethod
    def _is_a_regex(cls, value: str | None) -> str | None:
        if value is not None:
            _compiled(value)
        return value


class Block(ScriptModel):
    """One content block: a text, a tool call, or one Write call for each file of a folder."""

    text: str | None = None
    tool: str | None = None
    input: dict[str, JsonValue] = {}
    files_from: str | None = None
    into: str = ""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if sum(value is not None for value in (self.text, self.tool, self.files_from)) != 1:
            raise ValueError("a reply block is exactly one of text, tool or files_from")
        if self.input and self.tool is None:
            raise ValueError("input belongs to a tool")
        if self.into and self.files_from is None:
            raise ValueError("into belongs to files_from")
        return self


class ErrorReply(ScriptModel):
    """An error in the API's shape."""

    status: int = Field(ge=400, le=599)
    type: str
    message: str
    headers: dict[str, str] = {}


class Rule(ScriptModel):
    """What to answer when the conditions hold."""

    name: str = Field(min_length=1)
    when: When = When()
    capture: dict[str, str] = {}
    reply: tuple[Block, ...] = ()
    usage: Usage | None = None
    stop_reason: Literal["end_turn", "tool_use", "max_tokens", "stop_sequence", "refusal", "pause_turn"] | None = None
    delay_seconds: float = Field(default=0, ge=0)
    error: ErrorReply | None = None
    cut_after_events: int | None = Field(default=None, ge=0)
    garbage: bool = False

    @field_validator("capture")
    @classmethod
    def _has_one_group_each(cls, value: dict[str, str]) -> dict[str, str]:
        return _checked_captures(value)

    @model_validator(mode="after")
    def _answers_something(self) -> Self:
        if self.garbage and (self.reply or self.error):
            raise ValueError("garbage takes no reply and no error")
        if self.cut_after_events is not None and not self.reply:
            raise ValueError("cut_after_events needs a reply to cut")
        if self.error and self.reply and self.cut_after_events is None:
            raise ValueError("an error and a reply go together only with cut_after_events")
        if not (self.reply or self.error or self.garbage):
            raise ValueError("a rule needs a reply, an error or garbage: true")
        return self


class Script(ScriptModel):
    """A named list of rules, tried in order."""

    name: str = Field(min_length=1)
    model_usage: Usage = Usage(input_tokens=100, output_tokens=20)
    captures: dict[str, str] = {}
    rules: tuple[Rule, ...] = Field(min_length=1)

    @field_validator("captures")
    @classmethod
    def _has_one_group_each(cls, value: dict[str, str]) -> dict[str, str]:
        return _checked_captures(value)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"rules with the same name: {', '.join(twice)}")
        return self


def load_script(path: Path) -> Script:
    """Read a script; files it names are looked up next to it. Raises ScriptError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(f"{path}: cannot be read: {error}") from error
    return parse_script(text, origin=str(path), folder=path.parent)


def parse_script(text: str, *, origin: str, folder: Path) -> Script:
    """Parse YAML into a checked script with all files taken in. Raises ScriptError naming the rule and the field."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScriptError(f"{origin}: not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ScriptError(f"{origin}: a script is a mapping with name and rules, not {type(data).__name__}")
    try:
        script = Script.model_validate(data)
    except ValidationError as error:
        lines = [_explain(data, problem["loc"], problem["msg"]) for problem in error.errors()]
        raise ScriptError("\n".join(f"{origin}: {line}" for line in lines)) from error
    rules = tuple(_with_files(rule, origin, folder) for rule in script.rules)
    return script.model_copy(update={"rules": rules})


def _explain(data: dict[str, object], location: tuple[int | str, ...], message: str) -> str:
    if len(location) >= 2 and location[0] == "rules" and isinstance(location[1], int):
        rules = data.get("rules")
        rule = rules[location[1]] if isinstance(rules, list) else None
        name = rule.get("name") if isinstance(rule, dict) else None
        field = ".".join(str(part) for part in location[2:]) or "the rule"
        return f"rule {location[1] + 1} ({name or 'without a name'}): {field}: {message}"
    return f"{'.'.join(str(part) for part in location) or 'script'}: {message}"


def _with_files(rule: Rule, origin: str, folder: Path) -> Rule:
    blocks: list[Block] = []
    try:
        for block in rule.reply:
            if block.files_from is not None:
                blocks.extend(_write_calls(folder / block.files_from, block.into))
            elif block.tool is not None:
                blocks.append(block.model_copy(update={"input": _input_with_files(block.input, folder)}))
            else:
                blocks.append(block)
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(f"{origin}: rule {rule.name}: reply: {error}") from error
    return rule.model_copy(update={"reply": tuple(blocks)})


def _write_calls(folder: Path, into: str) -> list[Block]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    if not files:
        raise FileNotFoundError(f"files_from: {folder} holds no files")
    return [
        Block(
            tool="Write",
            input={
                "file_path": str(Path(into) / path.relative_to(folder)) if into else str(path.relative_to(folder)),
                "content": _verbatim(path),
            },
        )
        for path in files
    ]


def _input_with_files(given: dict[str, JsonValue], folder: Path) -> dict[str, JsonValue]:
    resolved: dict[str, JsonValue] = {}
    for key, value in given.items():
        if key == "content_from":
            resolved["content"] = _verbatim(folder / str(value))
        elif isinstance(value, dict) and list(value) == ["content_from"]:
            resolved[key] = _verbatim(folder / str(value["content_from"]))
        else:
            resolved[key] = value
    return resolved


def _verbatim(path: Path) -> str:
    return path.read_text().replace("${", "$${")


def _checked_captures(captures: dict[str, str]) -> dict[str, str]:
    for name, pattern in captures.items():
        if not name.isidentifier():
            raise ValueError(f"{name!r} cannot be written as ${{name}}: use letters, digits and _")
        groups = _compiled(pattern).groups
        if groups != 1:
            raise ValueError(f"{name}: the pattern needs exactly one group, it has {groups}")
    return captures


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
