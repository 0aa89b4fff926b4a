"""`orchestrator schema`: the whole command line as data, for agents."""

from __future__ import annotations

from typing import Any

from orchestrator_cli.errors import EXIT_CODES, JsonObject, JsonValue
from orchestrator_cli.output import Answer


def describe(root: Any) -> Answer:
    """Return every command below a click-shaped group: its permission, its parameters, its help."""
    commands: list[JsonValue] = list(_commands(root, ()))
    return Answer(
        {
            "commands": commands,
            "exit_codes": {str(code): words for code, words in EXIT_CODES.items()},
            "output": {
                "success": {"success": True, "data": "…", "message": "…"},
                "failure": {"success": False, "error": "code", "message": "…", "details": {}},
            },
            "permissions": "ALLOWED_COMMANDS holds group.command patterns, for example project.* or engineering.start",
        }
    )


def _commands(group: Any, path: tuple[str, ...]) -> list[JsonObject]:
    found: list[JsonObject] = []
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found += _commands(command, (*path, name))
            continue
        found.append(
            {
                "command": " ".join(("orchestrator", *path, name)),
                "permission": None if name == "schema" else ".".join((*path, name)),
                "help": (command.help or "").strip(),
                "parameters": [_parameter(param) for param in command.params if param.name != "help"],
            }
        )
    return found


def _parameter(param: Any) -> JsonObject:
    default = param.default
    return {
        "name": param.opts[0],
        "kind": param.param_type_name,
        "required": bool(param.required),
        "default": default if isinstance(default, str | int | float | bool) else None,
        "help": getattr(param, "help", None),
    }
