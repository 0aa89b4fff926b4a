"""Chooses the reply to a prompt from the scripts and fills in captured values; holds the only changing state."""

import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from emulators.anthropic.conversation import Prompt
from emulators.anthropic.errors import ApiError
from emulators.anthropic.script import Block, Rule, Script, Usage, When

PLACEHOLDER = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
SHOWN_CHARACTERS = 600


@dataclass(frozen=True)
class TextReply:
    """A text block of a reply."""

    text: str


@dataclass(frozen=True)
class ToolReply:
    """A tool call of a reply."""

    id: str
    name: str
    input: dict[str, JsonValue]


@dataclass(frozen=True)
class Reply:
    """A message as it will go over the wire."""

    blocks: tuple[TextReply | ToolReply, ...]
    stop_reason: str
    usage: Usage


@dataclass(frozen=True)
class Choice:
    """The rule that was chosen and, unless it only fails, its reply."""

    script: str
    rule: Rule
    reply: Reply | None


class UnmatchedPromptError(ApiError):
    """No rule fits; the message shows what was not matched."""

    def __init__(self, prompt: Prompt, scripts: Sequence[str]) -> None:
        speaker = f"result of {', '.join(prompt.tool_names)}" if prompt.tools_spoke_last else "user"
        super().__init__(
            400,
            "invalid_request_error",
            f"no rule of {', '.join(scripts) or 'any script (none is loaded)'} matches: stage {prompt.stage}, "
            f"turn {prompt.turn}, step {prompt.step}, last text ({speaker}): {prompt.last_text[:SHOWN_CHARACTERS]!r}",
        )


class Engine:
    """Scripts plus what they counted and captured so far."""

    def __init__(self, scripts: Sequence[Script]) -> None:
        self.replace(scripts)

    def replace(self, scripts: Sequence[Script]) -> None:
        """Take other scripts and forget all counts and captured values."""
        self._scripts = tuple(scripts)
        self.reset()

    def reset(self) -> None:
        """Forget all counts and captured values."""
        self._used: Counter[tuple[str, str]] = Counter()
        self._values: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._latest: dict[str, str] = {}

    def choose(self, prompt: Prompt) -> Choice:
        """Return the reply of the first rule that fits. Raises ApiError: unmatched, or a value that is missing."""
        self._capture_everywhere(prompt)
        for script, rule in self._rules():
            used = self._used[script.name, rule.name]
            if rule.when.times is not None and used >= rule.when.times:
                continue
            if fits(rule.when, prompt):
                self._used[script.name, rule.name] += 1
                return self._answer(script, rule, prompt)
        raise UnmatchedPromptError(prompt, [script.name for script in self._scripts])

    def _rules(self) -> Iterator[tuple[Script, Rule]]:
        for script in self._scripts:
            for rule in script.rules:
                yield script, rule

    def _answer(self, script: Script, rule: Rule, prompt: Prompt) -> Choice:
        for name, pattern in rule.capture.items():
            found = re.search(pattern, prompt.last_text)
            if found is None:
                raise ApiError.invalid_request(
                    f"rule {rule.name} of {script.name}: capture {name}: {pattern!r} is not in "
                    f"{prompt.last_text[:SHOWN_CHARACTERS]!r}"
                )
            self._remember(prompt, name, found.group(1))
        if not rule.reply:
            return Choice(script.name, rule, None)
        where = f"rule {rule.name} of {script.name}"
        blocks = tuple(self._block(block, prompt, where) for block in rule.reply)
        calls_tools = any(isinstance(block, ToolReply) for block in blocks)
        stop_reason = rule.stop_reason or ("tool_use" if calls_tools else "end_turn")
        return Choice(script.name, rule, Reply(blocks, stop_reason, script.model_usage.overridden_by(rule.usage)))

    def _block(self, block: Block, prompt: Prompt, where: str) -> TextReply | ToolReply:
        if block.tool is None:
            return TextReply(self._filled_text(block.text or "", prompt, where))
        filled = {key: self._filled(value, prompt, where) for key, value in block.input.items()}
        return ToolReply(f"toolu_{uuid.uuid4().hex[:24]}", block.tool, filled)

    def _filled(self, value: JsonValue, prompt: Prompt, where: str) -> JsonValue:
        if isinstance(value, str):
            return self._filled_text(value, prompt, where)
        if isinstance(value, list):
            return [self._filled(part, prompt, where) for part in value]
        if isinstance(value, dict):
            return {key: self._filled(part, prompt, where) for key, part in value.items()}
        return value

    def _filled_text(self, text: str, prompt: Prompt, where: str) -> str:
        def value_of(found: re.Match[str]) -> str:
            name = found.group(1)
            if found.group() == "$${":
                return "${"
            # The conversation's own value first; a value captured elsewhere joins chats and workers of one run.
            value = self._values[prompt.conversation].get(name) or self._latest.get(name) if name else None
            if value is None:
                raise ApiError.invalid_request(
                    f"{where}: {found.group()!r} names no captured value (a literal ${{ is written $${{); "
                    f"captured so far: {', '.join(sorted(self._latest)) or 'nothing'}"
                )
            return value

        return PLACEHOLDER.sub(value_of, text)

    def _capture_everywhere(self, prompt: Prompt) -> None:
        for script in self._scripts:
            for name, pattern in script.captures.items():
                found = re.search(pattern, prompt.last_text)
                if found is not None:
                    self._remember(prompt, name, found.group(1))

    def _remember(self, prompt: Prompt, name: str, value: str) -> None:
        self._values[prompt.conversation][name] = value
        self._latest[name] = value


def fits(when: When, prompt: Prompt) -> bool:
    """Tell whether all conditions but `times` hold."""
    return _fits_place(when, prompt) and _fits_user(when, prompt) and _fits_tools(when, prompt)


def _fits_place(when: When, prompt: Prompt) -> bool:
    return (
        (when.system_contains is None or when.system_contains in prompt.system)
        and (when.model_contains is None or when.model_contains in prompt.model)
        and (when.stage is None or when.stage == prompt.stage)
        and (when.turn is None or when.turn == prompt.turn)
        and (when.step is None or when.step == prompt.step)
    )


def _asks_about_tools(when: When) -> bool:
    asked = (when.after_tool, when.last_tool_contains, when.last_tool_matches, when.tool_result_is_error)
    return any(condition is not None for condition in asked)


def _fits_user(when: When, prompt: Prompt) -> bool:
    if when.last_user_contains is None and when.last_user_matches is None:
        return True
    placed = _asks_about_tools(when) or when.turn is not None or when.step is not None
    if not placed and not prompt.user_spoke_last:
        return False
    if when.last_user_contains is not None and when.last_user_contains not in prompt.user_text:
        return False
    return when.last_user_matches is None or re.search(when.last_user_matches, prompt.user_text) is not None


def _fits_tools(when: When, prompt: Prompt) -> bool:
    if not _asks_about_tools(when):
        return True
    return (
        prompt.tools_spoke_last
        and (when.after_tool is None or when.after_tool in prompt.tool_names)
        and (when.last_tool_contains is None or when.last_tool_contains in prompt.tool_text)
        and (when.last_tool_matches is None or re.search(when.last_tool_matches, prompt.tool_text) is not None)
        and (when.tool_result_is_error is None or when.tool_result_is_error == prompt.tool_is_error)
    )
