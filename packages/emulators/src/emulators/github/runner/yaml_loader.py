"""YAML as GitHub reads it: only true and false are booleans (so `on` stays a word), keys are unique."""

import re
from typing import Any

import yaml

from emulators.github.errors import WorkflowError


class _WorkflowLoader(yaml.SafeLoader):
    """SafeLoader with the scalars of the YAML 1.2 core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - yaml's own class attribute

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise WorkflowError(f"a key is not a word, line {key_node.start_mark.line + 1}")
            if key in seen:
                raise WorkflowError(f"'{key}' is already defined, line {key_node.start_mark.line + 1}")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _register(tag: str, pattern: str, first: str) -> None:
    _WorkflowLoader.add_implicit_resolver(tag, re.compile(pattern), list(first))


_register("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_register("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", "~nN")
_WorkflowLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^$"), [""])
_register("tag:yaml.org,2002:int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789")
_register("tag:yaml.org,2002:float", r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789")


def load_yaml(text: str) -> object:
    """Read one document; raises WorkflowError with the line when it is not YAML."""
    try:
        loaded: object = yaml.load(text, Loader=_WorkflowLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise WorkflowError(f"Invalid workflow file: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise WorkflowError("Invalid workflow file: nested too deeply") from error
    return loaded
