"""Writes scripts for the emulated model: what it answers to one wish, stage by stage and attempt by attempt.

A stage has attempts; each attempt is a conversation of its own and a list of replies. The last attempt serves every
later conversation too. Developer stages are matched by a mark in the task, the product owner by a mark in the wish.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import yaml
from pydantic import JsonValue

Block = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model. `error` is {status, type, message} of the Messages API."""

    blocks: tuple[Block, ...] = ()
    usage: Mapping[str, int] | None = None
    delay_seconds: float = 0
    error: Mapping[str, JsonValue] | None = None
    when: Mapping[str, JsonValue] = field(default_factory=dict)
    capture: Mapping[str, str] = field(default_factory=dict)

    def after(self, seconds: float) -> Reply:
        """Return the same answer, given that much later."""
        return replace(self, delay_seconds=seconds)

    def using(self, input_tokens: int, output_tokens: int) -> Reply:
        """Return the same answer with other tokens."""
        return replace(self, usage={"input_tokens": input_tokens, "output_tokens": output_tokens})

    def rule(self, name: str, when: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Return the rule of a script that gives this answer."""
        rule: dict[str, JsonValue] = {"name": name, "when": {**when, **self.when}}
        if self.blocks:
            rule["reply"] = list[JsonValue](self.blocks)
        if self.usage is not None:
            rule["usage"] = dict[str, JsonValue](self.usage)
        if self.delay_seconds:
            rule["delay_seconds"] = self.delay_seconds
        if self.error is not None:
            rule["error"] = dict(self.error)
        if self.capture:
            rule["capture"] = dict[str, JsonValue](self.capture)
        return rule


def say(text: str) -> Reply:
    return Reply(({"text": _literal(text)},))


def result(**fields: JsonValue) -> Reply:
    """Answer with a result block."""
    return say(f"<result>\n{json.dumps(fields)}\n</result>")


def run(command: str) -> Reply:
    """Call the shell; `${name}` is a captured value."""
    return Reply((_bash(command),))


def write(files: Mapping[str, str], *commands: str) -> Reply:
    """Write new files, then call the shell."""
    blocks: list[Block] = [
        {"tool": "Write", "input": {"file_path": path, "content": _literal(text)}} for path, text in files.items()
    ]
    return Reply((*blocks, *(_bash(_literal(command)) for command in commands)))


def fails(status: int, kind: str, message: str) -> Reply:
    """Answer with an error of the Messages API."""
    return Reply(error={"status": status, "type": kind, "message": message})


def _bash(command: str) -> Block:
    return {"tool": "Bash", "input": {"command": command, "description": "Run a command"}}


def _literal(text: str) -> str:
    return text.replace("${", "$${")


Attempt = Sequence[Reply]
PLANNED: Attempt = (result(summary="A small change", steps=["Do it", "Test it"], files=[], risks=[]),)
APPROVED: Attempt = (result(approved=True, summary="Does what was asked", findings=[]),)


def coded(files: Mapping[str, str], *commands: str, message: str = "Do what was asked") -> Attempt:
    """Return an attempt at coding that writes files, runs commands and reports success."""
    return (write(files, *commands), result(summary="It is done", commit_message=message))


@dataclass(frozen=True, slots=True)
class Work:
    """One wish and everything the model does about it. `mark` is in no other wish or task."""

    mark: str
    project: str
    code: Sequence[Attempt]
    plan: Sequence[Attempt] = (PLANNED,)
    review: Sequence[Attempt] = (APPROVED,)
    owner: Attempt | None = None
    extends: bool = False

    @property
    def wish(self) -> str:
        """What the user writes."""
        return f"Please work on {self.project}, and keep to this: {self.mark}"

    @property
    def task(self) -> str:
        return f"Carry out {self.mark} in full."

    def rules(self) -> list[dict[str, JsonValue]]:
        """Return the rules of the script, most special first."""
        owner = self.owner or (self._extending() if self.extends else self._creating())
        rules = [
            reply.rule(f"{self.mark} po {step}", {"stage": "po", "last_user_contains": self.mark, "step": step})
            for step, reply in enumerate(owner)
        ]
        for stage, attempts in (("plan", self.plan), ("code", self.code), ("review", self.review)):
            for number, attempt in enumerate(attempts, 1):
                rules += self._stage_rules(stage, number, attempt, is_last=number == len(attempts))
        return rules

    def _stage_rules(self, stage: str, number: int, attempt: Attempt, *, is_last: bool) -> list[dict[str, JsonValue]]:
        limit: dict[str, JsonValue] = {} if is_last else {"times": 1}
        return [
            reply.rule(
                f"{self.mark} {stage} {number}.{turn}",
                {"stage": stage, "last_user_contains": self.mark, "turn": turn, **limit},
            )
            for turn, reply in enumerate(attempt)
        ]

    def _creating(self) -> Attempt:
        return (
            run(f'orchestrator project create --name {self.project} --task "{self.task}"'),
            replace(say(f"I have started with {self.project}."), when={"last_tool_contains": '"success": true'}),
        )

    def _extending(self) -> Attempt:
        start = run(f'orchestrator engineering start --project ${{project_id}} --task "{self.task}"')
        return (
            run("orchestrator project list"),
            replace(start, capture={"project_id": r'"id":\s*"([0-9a-f-]+)"'}),
            replace(say(f"I extend {self.project}."), when={"last_tool_contains": '"success": true'}),
        )


def script(
    works: Iterable[Work],
    *,
    extra: Iterable[dict[str, JsonValue]] = (),
    input_tokens: int = 1000,
    output_tokens: int = 100,
) -> str:
    """Return the script, as YAML, that serves all these wishes; extra rules come first."""
    rules = [*extra, *(rule for work in works for rule in work.rules())]
    usage = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    return yaml.safe_dump({"name": "test", "model_usage": usage, "rules": rules}, sort_keys=False)
