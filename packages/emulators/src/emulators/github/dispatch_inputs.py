"""Checks the inputs of a workflow_dispatch against what the workflow declares."""

from collections.abc import Mapping

from emulators.github.errors import Unprocessable
from emulators.github.runner.triggers import DispatchInput


def checked_inputs(declared: tuple[DispatchInput, ...], given: Mapping[str, object]) -> dict[str, object]:
    """Return every declared input with its typed value; raises Unprocessable for a missing, unknown or bad one."""
    unexpected = [name for name in given if name not in {spec.name for spec in declared}]
    if unexpected:
        raise Unprocessable(f"Unexpected inputs provided: {unexpected}".replace("'", '"'))
    values: dict[str, object] = {}
    for spec in declared:
        value = given.get(spec.name, spec.default)
        if spec.required and value in (None, ""):
            raise Unprocessable(f"Required input '{spec.name}' not provided")
        values[spec.name] = _typed(spec, value)
    return values


def _typed(spec: DispatchInput, value: object) -> object:
    if spec.type == "boolean":
        text = str(value if value is not None else False).lower()
        if text not in ("true", "false"):
            raise Unprocessable(f"Provided value '{value}' for input '{spec.name}' is not a boolean")
        return text == "true"
    text = "" if value is None else str(value)
    if spec.type == "choice":
        text = text or spec.options[0]
        if text not in spec.options:
            raise Unprocessable(f"Provided value '{text}' for input '{spec.name}' not in the list of allowed values")
    return text


def as_event_text(value: object) -> str:
    """Return an input as github.event.inputs has it: always text."""
    return str(value).lower() if isinstance(value, bool) else str(value)
