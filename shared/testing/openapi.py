"""Tells what in a request or an answer does not fit an OpenAPI 3.0 description. Knows no particular API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote

import httpx
from jsonschema.exceptions import ValidationError
from openapi_schema_validator import OAS30ReadValidator, OAS30WriteValidator, oas30_format_checker
from pydantic import JsonValue
from referencing import Registry
from referencing.jsonschema import DRAFT4

JsonObject: TypeAlias = Mapping[str, JsonValue]
# A description's references name it by this address, so that a schema found anywhere in it can be used on its own.
ADDRESS = "urn:openapi:description"
_JSON = "application/json"
_PARAMETER = re.compile(r"\{([^}]+)\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path template, with the values its path parameters have in a request."""

    method: str
    template: str
    detail: JsonObject
    path_values: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"{self.method} {self.template}"

    def describes(self, status: int) -> bool:
        return str(status) in as_object(self.detail["responses"])


class OpenApi:
    """A description whose references start with ADDRESS."""

    def __init__(self, document: JsonObject) -> None:
        self._document = document
        resource = DRAFT4.create_resource(document)
        self._registry: Registry[JsonObject] = Registry().with_resource(ADDRESS, resource)
        self._templates: dict[str, re.Pattern[str]] = {}

    def operation(self, method: str, path: str) -> Operation | None:
        """Return the operation a request is for: of those whose template fits, the one with the most fixed text."""
        found: list[tuple[int, Operation]] = []
        for template, methods in _items(self._document["paths"]):
            detail = as_object(methods).get(method.lower())
            match = self._pattern(template, as_object(methods)).fullmatch(path) if detail is not None else None
            if match is not None:
                values = dict(zip(_PARAMETER.findall(template), map(unquote, match.groups()), strict=True))
                fixed = len(_PARAMETER.sub("", template))
                found.append((fixed, Operation(method.upper(), template, as_object(detail), values)))
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def operation_of(self, request: httpx.Request) -> Operation | None:
        """Return the operation a request is for."""
        return self.operation(request.method, request.url.raw_path.partition(b"?")[0].decode())

    def request_problems(self, request: httpx.Request) -> Iterator[str]:
        """Tell what of a request is not described: path, parameters, body."""
        operation = self.operation_of(request)
        if operation is None:
            yield f"{request.method} {request.url.path}: no such operation"
            return
        for problem in (*self._parameter_problems(operation, request), *self._body_problems(operation, request)):
            yield f"{operation.name}: request: {problem}"

    def answer_problems(self, operation: Operation, request: httpx.Request, response: httpx.Response) -> Iterator[str]:
        """Tell what of an answer is not described: status, media type, body."""
        described = as_object(operation.detail["responses"])
        where = f"{operation.name}: {response.status_code}"
        if str(response.status_code) not in described:
            yield f"{where}: not among {', '.join(described)}"
            return
        content = as_object(self.resolve(described[str(response.status_code)]).get("content", {}))
        media_type = response.headers.get("content-type", "").partition(";")[0]
        if media_type == _JSON and _JSON in content:
            schema = as_object(as_object(content[_JSON])["schema"])
            yield from (f"{where}: {problem}" for problem in self.value_problems(schema, response.json()))
        elif content and media_type not in content and request.headers.get("accept", "") not in content:
            yield f"{where}: {media_type or 'no media type'} is not among {', '.join(content)}"

    def value_problems(self, schema: JsonObject, value: JsonValue, *, is_written: bool = False) -> Iterator[str]:
        """Tell where a value does not fit a schema."""
        validator = OAS30WriteValidator if is_written else OAS30ReadValidator
        checker = validator(schema, registry=self._registry, format_checker=oas30_format_checker)
        for error in checker.iter_errors(value):
            yield from (f"{part.json_path}: {part.message[:200]}" for part in _parts(error))

    def resolve(self, node: JsonValue | JsonObject) -> JsonObject:
        """Follow references."""
        found = as_object(node)
        while "$ref" in found:
            target: JsonValue = dict(self._document)
            for part in str(found["$ref"]).removeprefix(f"{ADDRESS}#/").split("/"):
                target = as_object(target)[part.replace("~1", "/").replace("~0", "~")]
            found = as_object(target)
        return found

    def schema(self, operation: Operation, status: str) -> JsonObject:
        """Return the schema of a JSON answer."""
        content = as_object(self.resolve(as_object(operation.detail["responses"])[status])["content"])
        return self.resolve(as_object(content[_JSON])["schema"])

    def component(self, name: str) -> JsonObject:
        """Return a named schema, as a reference."""
        return {"$ref": f"{ADDRESS}#/components/schemas/{name}"}

    def example(self, operation: Operation, status: str) -> JsonValue:
        """Return the first published example of a JSON answer; raises KeyError where there is none."""
        content = as_object(self.resolve(as_object(operation.detail["responses"])[status])["content"])
        _, first = next(_items(as_object(content[_JSON])["examples"]))
        return self.resolve(first)["value"]

    def _pattern(self, template: str, methods: JsonObject) -> re.Pattern[str]:
        if template not in self._templates:
            wide = {
                str(parameter["name"])
                for _, method in _items(methods)
                for parameter in self._parameters(as_object(method))
                if parameter.get("x-multi-segment")
            }
            parts = _PARAMETER.split(template)
            texts = [
                re.escape(part) if index % 2 == 0 else "(.*)" if part in wide else "([^/]+)"
                for index, part in enumerate(parts)
            ]
            self._templates[template] = re.compile("".join(texts))
        return self._templates[template]

    def _parameters(self, detail: JsonObject) -> list[JsonObject]:
        return [self.resolve(entry) for entry in as_list(detail.get("parameters", []))]

    def _parameter_problems(self, operation: Operation, request: httpx.Request) -> Iterator[str]:
        given = dict(request.url.params)
        for parameter in self._parameters(operation.detail):
            name, schema = str(parameter["name"]), self.resolve(parameter["schema"])
            value = operation.path_values.get(name) if parameter["in"] == "path" else given.pop(name, None)
            if value is None:
                if parameter.get("required"):
                    yield f"{name}: missing"
                continue
            for problem in self.value_problems(schema, _typed(value, schema)):
                yield f"{name}: {problem}"
        yield from (f"{name}: no such query parameter" for name in given)

    def _body_problems(self, operation: Operation, request: httpx.Request) -> Iterator[str]:
        described = self.resolve(operation.detail.get("requestBody", {}))
        if not request.content:
            if described.get("required"):
                yield "no body"
            return
        if not described:
            yield "a body where none is described"
            return
        schema = as_object(as_object(as_object(described["content"])[_JSON])["schema"])
        body: JsonValue = json.loads(request.content)
        yield from self.value_problems(schema, body, is_written=True)
        yield from (f"$.{path}: no such field" for path in self._unknown(schema, body))

    def _unknown(self, schema: JsonObject, value: JsonValue, path: str = "") -> Iterator[str]:
        """Yield the fields of a body that the description does not name."""
        named, is_open = self._fields(schema)
        if not isinstance(value, Mapping) or is_open or not named:
            return
        for name, entry in value.items():
            where = f"{path}.{name}" if path else name
            if name not in named:
                yield where
            else:
                yield from self._unknown(named[name], entry, where)

    def _fields(self, schema: JsonObject) -> tuple[dict[str, JsonObject], bool]:
        found = self.resolve(schema)
        named = {name: as_object(detail) for name, detail in _items(found.get("properties", {}))}
        is_open = bool(found.get("additionalProperties"))
        for keyword in ("allOf", "anyOf", "oneOf"):
            for choice in as_list(found.get(keyword, [])):
                more, more_open = self._fields(as_object(choice))
                named, is_open = {**more, **named}, is_open or more_open
        return named, is_open


def as_object(value: JsonValue | JsonObject) -> JsonObject:
    """Return a value that must be an object."""
    assert isinstance(value, Mapping), value
    return value


def as_list(value: JsonValue) -> list[JsonValue]:
    """Return a value that must be an array."""
    assert isinstance(value, list), value
    return value


def _items(value: JsonValue | JsonObject) -> Iterator[tuple[str, JsonValue]]:
    yield from as_object(value).items()


def _typed(text: str, schema: JsonObject) -> JsonValue:
    """Return a parameter's text as the value it stands for; text that cannot be stays text."""
    kind = schema.get("type")
    if kind == "integer" and text.lstrip("-").isdecimal():
        return int(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text


def _parts(error: ValidationError) -> list[ValidationError]:
    """Return what is wrong with the choice that a value comes closest to, or the error itself."""
    choices: dict[object, list[ValidationError]] = {}
    for part in error.context or ():
        choices.setdefault(part.relative_schema_path[0], []).append(part)
    return min(choices.values(), key=len) if choices else [error]
