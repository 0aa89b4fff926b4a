"""Renders the stage prompts from package data. The task, diffs and logs are data inside them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from string import Template

from agent_graphs.state import Dumped, EngineeringState
from shared.contracts.stages import CodeResult, PlanResult, TestResult
from shared.contracts.vocabulary import Stage

_FILES_SHOWN = 150
_NOTES_SHOWN = 6


@cache
def _template(name: str) -> Template:
    return Template((files("agent_graphs") / "prompts" / f"{name}.md").read_text(encoding="utf-8"))


def worker_instructions() -> str:
    """Return what a developer worker is told once, for its CLAUDE.md or AGENTS.md."""
    return _template("instructions").template


def stage_prompt(stage: Stage, state: EngineeringState, *, diff: str = "") -> str:
    """Return the prompt of a stage; its first line is `[stage:…]`."""
    return _template(stage.value).substitute(_FIELDS[stage](state), diff=diff)


def clipped(text: str, limit: int) -> str:
    """Return at most `limit` characters: the beginning, and a line that says how much is missing."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n… {len(text) - limit} more characters"


def tail(text: str, limit: int) -> str:
    """Return the last `limit` characters."""
    return text if len(text) <= limit else f"…{text[-limit:]}"


def _basics(state: EngineeringState) -> dict[str, str]:
    return {
        "project_name": state["project_name"],
        "title": state["title"],
        "description": state["description"],
        "branch": state["branch"],
        "base": state["base"],
        "earlier": _earlier(state),
    }


def _plan_fields(state: EngineeringState) -> dict[str, str]:
    return {**_basics(state), "modules": ", ".join(state["modules"]), "files": _tree(state["files"])}


def _code_fields(state: EngineeringState) -> dict[str, str]:
    feedback = state.get("feedback")
    return {**_basics(state), "plan": _plan(state.get("plan")), "feedback": _feedback(feedback) if feedback else ""}


def _review_fields(state: EngineeringState) -> dict[str, str]:
    return {
        **_basics(state),
        "plan": _plan(state.get("plan")),
        "code": _code(state.get("code")),
        "tests": _tests(state.get("tests")),
        "head_sha": state.get("head_sha") or "",
    }


_FIELDS: dict[Stage, Callable[[EngineeringState], dict[str, str]]] = {
    Stage.PLAN: _plan_fields,
    Stage.CODE: _code_fields,
    Stage.TEST: _basics,
    Stage.REVIEW: _review_fields,
}


def _earlier(state: EngineeringState) -> str:
    notes = state.get("notes", [])[-_NOTES_SHOWN:]
    if not notes:
        return ""
    return "\n## What happened before in this run\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def _feedback(feedback: Dumped) -> str:
    return f"\n## What must change now: {feedback['title']}\n{feedback['text']}\n"


def _tree(paths: list[str]) -> str:
    if not paths:
        return ""
    shown = "\n".join(paths[:_FILES_SHOWN])
    more = f"\n… and {len(paths) - _FILES_SHOWN} more" if len(paths) > _FILES_SHOWN else ""
    return f"Files:\n{shown}{more}\n"


def _plan(dumped: Dumped | None) -> str:
    if dumped is None:
        return "There is none."
    plan = PlanResult.model_validate(dumped)
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(plan.steps, 1))
    lines = [plan.summary, steps]
    if plan.files:
        lines.append("Files: " + ", ".join(plan.files))
    if plan.risks:
        lines.append("Risks: " + "; ".join(plan.risks))
    return "\n".join(lines)


def _code(dumped: Dumped | None) -> str:
    if dumped is None:
        return "Nothing."
    code = CodeResult.model_validate(dumped)
    changes = "\n".join(
        f"- {change.change_type} {change.path}" + (f": {change.summary}" if change.summary else "")
        for change in code.file_changes
    )
    return f"{code.summary}\n{changes}".rstrip()


def _tests(dumped: Dumped | None) -> str:
    if dumped is None:
        return "They were not run."
    tests = TestResult.model_validate(dumped)
    counts = tests.counts
    told = f": {counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped" if counts else ""
    return f"`{tests.command}` is {'green' if tests.passed else 'red'}{told}."
