"""Writes schemas/*.json and docs/CONTRACTS.md from the models: `python -m shared.contracts.generate [--check]`.

Refuses to write a snapshot whose change breaks an old reader, unless told `--allow-breaking`.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from shared.contracts import dto
from shared.contracts.base import Contract
from shared.contracts.compatibility import Schema, breaking_bodies, breaking_changes
from shared.contracts.queues.events import DeadLetter
from shared.contracts.run_machine import TRANSITIONS
from shared.contracts.topology import DLQ_SUFFIX, TOPOLOGY, Stream

REST_PREFIX = "rest."
HERE = Path(__file__).resolve().parent
SCHEMAS = HERE / "schemas"
PAGE = HERE.parent.parent / "docs" / "CONTRACTS.md"


def current_schemas() -> dict[str, Schema]:
    """Return the schema of every stream's message, and of every module of REST bodies, by file name."""
    schemas = {_file_name(stream.name): _schema(stream.model) for stream in TOPOLOGY}
    return {**schemas, "dead-letter.json": _schema(DeadLetter), **_rest_schemas()}


def stored_schemas(folder: Path = SCHEMAS) -> dict[str, Schema]:
    """Return the snapshots in the tree by file name."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def broken_contracts(stored: dict[str, Schema], current: dict[str, Schema]) -> list[str]:
    """Return what the current models break against the snapshots, one line each."""
    lines = [f"{name}: it is gone" for name in stored if name not in current]
    for name, schema in stored.items():
        compare = breaking_bodies if name.startswith(REST_PREFIX) else breaking_changes
        lines += [f"{name}: {change}" for change in compare(schema, current.get(name, schema))]
    return lines


def render_schema(schema: Schema) -> str:
    """Return a snapshot's text."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def render_page() -> str:
    """Return docs/CONTRACTS.md."""
    return "\n".join([*_heading(), *_stream_table(), *_messages(), *_machines()]) + "\n"


def _schema(model: Any) -> Schema:
    return TypeAdapter(model).json_schema(mode="validation")


def _rest_schemas() -> dict[str, Schema]:
    """Return one schema per module of REST bodies, with a definition for each of its models."""
    schemas: dict[str, Schema] = {}
    for found in pkgutil.iter_modules(dto.__path__):
        module = importlib.import_module(f"{dto.__name__}.{found.name}")
        bodies = [
            kind
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if issubclass(kind, Contract) and kind.__module__ == module.__name__
        ]
        _, schema = models_json_schema([(kind, "validation") for kind in bodies])
        schemas[f"{REST_PREFIX}{found.name}.json"] = schema
    return schemas


def _file_name(stream: str) -> str:
    return stream.replace("{", "").replace("}", "").replace(":", ".").replace("_", "-") + ".json"


def _heading() -> Iterator[str]:
    yield "# Contracts"
    yield ""
    yield "Generated from `shared/contracts/topology.py` by `make docs`; edit the models, not this page."
    yield ""
    yield "A stream entry has one field, `data`: the JSON of its message. Writers refuse unknown fields, readers ignore"
    yield f"and log them. What cannot be read or handled goes to `{{stream}}{DLQ_SUFFIX}` as a `DeadLetter` whose"
    yield "`body` is the entry as it was. JSON Schemas: `shared/contracts/schemas/`."
    yield ""


def _stream_table() -> Iterator[str]:
    yield "## Streams"
    yield ""
    yield "| stream | message | writers | reader groups | finished entries kept |"
    yield "|---|---|---|---|---|"
    for stream in TOPOLOGY:
        names = ", ".join(_title(schema) for schema in _choices(stream))
        writers, readers = ", ".join(stream.writers) or "any", ", ".join(stream.readers) or "observers"
        yield f"| `{stream.name}` | {names} | {writers} | {readers} | {stream.retention} |"
    yield ""


def _messages() -> Iterator[str]:
    yield "## Messages"
    yield ""
    seen: set[str] = set()
    roots = [_schema(stream.model) for stream in TOPOLOGY] + [_schema(DeadLetter)]
    for root in roots:
        definitions = root.get("$defs", {})
        for schema in [root, *definitions.values()]:
            name = _title(schema)
            if name in seen or "properties" not in schema:
                continue
            seen.add(name)
            yield from _message(name, schema)


def _message(name: str, schema: Schema) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    yield "| field | type | required | note |"
    yield "|---|---|---|---|"
    for field, detail in schema["properties"].items():
        required = "yes" if field in schema.get("required", ()) else ""
        yield f"| {field} | {_type(detail)} | {required} | {detail.get('description', '')} |"
    yield ""


def _machines() -> Iterator[str]:
    yield "## State machines"
    yield ""
    for kind, table in TRANSITIONS.items():
        yield f"### {kind}"
        yield ""
        yield "| state | event | next state |"
        yield "|---|---|---|"
        for (state, event), after in sorted(table.items()):
            yield f"| {state} | {event} | {after} |"
        yield ""


def _choices(stream: Stream[Any]) -> list[Schema]:
    schema = _schema(stream.model)
    if "oneOf" not in schema:
        return [schema]
    return [schema["$defs"][choice["$ref"].rsplit("/", 1)[1]] for choice in schema["oneOf"]]


def _title(schema: Schema) -> str:
    return str(schema.get("title", ""))


def _type(schema: Schema) -> str:
    """Return a short, table-safe name of a field's type."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[1]
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("format") == "date-time":
        return "time"
    return str(schema.get("type", "any"))


def _files() -> dict[Path, str]:
    files = {SCHEMAS / name: render_schema(schema) for name, schema in current_schemas().items()}
    return {**files, PAGE: render_page()}


def check() -> list[str]:
    """Return what in the tree is not as it would be generated now."""
    wanted = _files()
    stale = [str(path) for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    extra = [str(path) for path in SCHEMAS.glob("*.json") if path not in wanted]
    return [f"{path}: stale, run `make docs`" for path in stale + extra]


def write() -> None:
    """Bring the tree up to date."""
    wanted = _files()
    SCHEMAS.mkdir(exist_ok=True)
    PAGE.parent.mkdir(exist_ok=True)
    for path in SCHEMAS.glob("*.json"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Check or write; 1 when something is stale or broken."""
    parser = argparse.ArgumentParser(prog="python -m shared.contracts.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when something is stale")
    parser.add_argument("--allow-breaking", action="store_true", help="write although old readers break")
    options = parser.parse_args(arguments)
    problems = broken_contracts(stored_schemas(), current_schemas())
    if options.check:
        problems += check()
    elif not problems or options.allow_breaking:
        problems = []
        write()
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
