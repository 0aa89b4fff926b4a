"""The `on:` of a workflow: which events start it, by branch, tag, path and type; and the inputs of a dispatch.

Events this emulator never sends (schedule, release, …) are accepted and never fire.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emulators.github.errors import WorkflowError

PULL_TYPES = ("opened", "synchronize", "reopened")
KNOWN_PULL_TYPES = frozenset({*PULL_TYPES, "closed", "edited", "ready_for_review", "converted_to_draft"})
SILENT_EVENTS = frozenset(
    {"schedule", "release", "workflow_call", "workflow_run", "repository_dispatch", "issues", "issue_comment", "create"}
    | {"delete", "deployment", "deployment_status", "merge_group", "check_run", "check_suite", "status", "label"}
    | {
        "pull_request_review",
        "pull_request_review_comment",
        "page_build",
        "public",
        "watch",
        "fork",
        "registry_package",
    }
)
INPUT_TYPES = ("string", "boolean", "choice", "number", "environment")


@dataclass(frozen=True)
class Patterns:
    """Wanted and unwanted globs; the last match of a list wins, `!` negates."""

    include: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None

    def accept(self, name: str) -> bool:
        """Tell whether the name passes."""
        if self.ignore is not None and glob_matches(self.ignore, name):
            return False
        return self.include is None or glob_matches(self.include, name)

    def accept_any(self, names: Sequence[str]) -> bool:
        """Tell whether at least one name passes (paths of a change)."""
        return (self.include is None and self.ignore is None) or any(self.accept(name) for name in names)

    @property
    def given(self) -> bool:
        """Tell whether there is any pattern."""
        return self.include is not None or self.ignore is not None


@dataclass(frozen=True)
class PushTrigger:
    """on.push"""

    branches: Patterns
    tags: Patterns
    paths: Patterns

    def accepts(self, ref: str) -> bool:
        """Tell whether a push to this full ref starts the workflow, paths aside."""
        if ref.startswith("refs/tags/"):
            return (self.tags.given or not self.branches.given) and self.tags.accept(ref.removeprefix("refs/tags/"))
        return (self.branches.given or not self.tags.given) and self.branches.accept(ref.removeprefix("refs/heads/"))


@dataclass(frozen=True)
class PullTrigger:
    """on.pull_request"""

    types: tuple[str, ...]
    branches: Patterns
    paths: Patterns

    def accepts(self, action: str, base: str) -> bool:
        """Tell whether the action on a pull request into that base branch starts the workflow, paths aside."""
        return action in self.types and self.branches.accept(base)


@dataclass(frozen=True)
class DispatchInput:
    """One input of workflow_dispatch."""

    name: str
    type: str
    required: bool
    default: object
    options: tuple[str, ...]


@dataclass(frozen=True)
class Triggers:
    """The whole `on:`; an event that is absent is None."""

    push: PushTrigger | None
    pull_request: PullTrigger | None
    dispatch: tuple[DispatchInput, ...] | None


def parse_triggers(value: object) -> Triggers:
    """Read `on:` in any of its three forms; raises WorkflowError."""
    if isinstance(value, str):
        events: dict[str, object] = {value: None}
    elif isinstance(value, list):
        events = {str(name): None for name in value}
    elif isinstance(value, dict):
        events = {str(name): item for name, item in value.items()}
    else:
        raise WorkflowError("`on` must be an event, a list or a mapping")
    for name in events:
        if name not in SILENT_EVENTS | {"push", "pull_request", "workflow_dispatch"}:
            raise WorkflowError(f"Unexpected value '{name}' in `on`")
    return Triggers(
        push=_push(_filters(events["push"], "push")) if "push" in events else None,
        pull_request=_pull(_filters(events["pull_request"], "pull_request")) if "pull_request" in events else None,
        dispatch=_dispatch(events["workflow_dispatch"]) if "workflow_dispatch" in events else None,
    )


def glob_matches(patterns: Sequence[str], name: str) -> bool:
    """Match as filters do: in order, a later `!pattern` takes back an earlier match."""
    matched = False
    for pattern in patterns:
        if pattern.startswith("!"):
            matched = matched and not _regex(pattern[1:]).fullmatch(name)
        else:
            matched = matched or bool(_regex(pattern).fullmatch(name))
    return matched


def _regex(pattern: str) -> re.Pattern[str]:
    parts: list[str] = []
    for token in re.findall(r"\*\*/|\*\*|\*|\[[^\]]*\]|\\.|.", pattern):
        match token:
            case "**/":
                parts.append("(?:.*/)?")
            case "**":
                parts.append(".*")
            case "*":
                parts.append("[^/]*")
            case "?" | "+":
                parts.append(token)
            case _:
                parts.append(token if token.startswith(("[", "\\")) else re.escape(token))
    try:
        return re.compile("".join(parts))
    except re.error as error:
        raise WorkflowError(f"the filter pattern '{pattern}' cannot be read") from error


def _filters(value: object, event: str) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise WorkflowError(f"on.{event} must be a mapping")
    allowed = {"push": {"branches", "tags", "paths"}, "pull_request": {"branches", "paths", "types"}}[event]
    allowed |= {f"{name}-ignore" for name in allowed - {"types"}}
    for name in value:
        if name not in allowed:
            raise WorkflowError(f"on.{event}: this runner does not support: {name}")
    return {str(name): item for name, item in value.items()}


def _push(filters: Mapping[str, object]) -> PushTrigger:
    return PushTrigger(_patterns(filters, "branches"), _patterns(filters, "tags"), _patterns(filters, "paths"))


def _pull(filters: Mapping[str, object]) -> PullTrigger:
    types = _words(filters["types"], "types") if "types" in filters else PULL_TYPES
    for name in types:
        if name not in KNOWN_PULL_TYPES:
            raise WorkflowError(f"on.pull_request.types: this runner does not support: {name}")
    return PullTrigger(types, _patterns(filters, "branches"), _patterns(filters, "paths"))


def _patterns(filters: Mapping[str, object], name: str) -> Patterns:
    include = _words(filters[name], name) if name in filters else None
    ignore = _words(filters[f"{name}-ignore"], name) if f"{name}-ignore" in filters else None
    if include is not None and ignore is not None:
        raise WorkflowError(f"you may only define one of `{name}` and `{name}-ignore`")
    for pattern in (*(include or ()), *(ignore or ())):
        _regex(pattern.removeprefix("!"))
    return Patterns(include, ignore)


def _words(value: object, name: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise WorkflowError(f"{name} must be a word or a list")
    return tuple(str(item) for item in value)


def _dispatch(value: object) -> tuple[DispatchInput, ...]:
    if value is None:
        return ()
    if not isinstance(value, dict) or set(value) - {"inputs"}:
        raise WorkflowError("on.workflow_dispatch has only inputs")
    inputs = value.get("inputs") or {}
    if not isinstance(inputs, dict):
        raise WorkflowError("on.workflow_dispatch.inputs must be a mapping")
    return tuple(_input(str(name), item or {}) for name, item in inputs.items())


def _input(name: str, value: object) -> DispatchInput:
    where = f"on.workflow_dispatch.inputs.{name}"
    if not isinstance(value, dict):
        raise WorkflowError(f"{where} must be a mapping")
    unknown = set(value) - {"description", "required", "default", "type", "options", "deprecationMessage"}
    if unknown:
        raise WorkflowError(f"{where}: unexpected {', '.join(sorted(map(str, unknown)))}")
    kind = str(value.get("type", "string"))
    if kind not in INPUT_TYPES:
        raise WorkflowError(f"{where}: unexpected type '{kind}'")
    options = tuple(str(option) for option in value.get("options") or ())
    if kind == "choice" and not options:
        raise WorkflowError(f"{where}: a choice needs options")
    return DispatchInput(name, kind, value.get("required", False) is True, value.get("default"), options)
