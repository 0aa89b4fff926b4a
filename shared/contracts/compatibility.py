"""Tells whether a changed schema still lets old and new programs read each other's messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
READ_SUFFIX = "DTO"  # of bodies that clients only read


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Return what breaks a reader: of old messages by new programs, or of new messages by old programs.

    A new optional field is fine, for readers ignore what they do not know. Everything else about an existing field
    (removing it while it was required, its type, fewer or more words in an enumeration) is not.
    """
    return [*_compare(_Document(old), _Document(new), old, new, "")]


def breaking_bodies(old: Schema, new: Schema) -> list[str]:
    """Return what breaks an older client: bodies it reads or sends, each a definition of both schemas.

    What it reads may gain fields and lose optional ones. What it sends is read strictly, so that no field may go.
    """
    before, after = old.get("$defs", {}), new.get("$defs", {})
    changes = []
    for name, body in before.items():
        if "properties" not in body:
            continue
        if name not in after:
            changes.append(f"{name}: the body is gone")
            continue
        found = _compare(_Document(old), _Document(new), body, after[name], "")
        changes += [f"{name}: {change}" for change in found]
        if not name.endswith(READ_SUFFIX):
            gone = set(body["properties"]) - set(after[name].get("properties", {}))
            changes += [f"{name}.{field}: older clients may send it, and it is refused" for field in sorted(gone)]
    return changes


class _Document:
    """A schema with its definitions."""

    def __init__(self, root: Schema) -> None:
        self._definitions: dict[str, Schema] = root.get("$defs", {})

    def resolve(self, schema: Schema) -> Schema:
        reference = schema.get("$ref")
        return self._definitions[reference.rsplit("/", 1)[1]] if isinstance(reference, str) else schema


def _compare(olds: _Document, news: _Document, old: Schema, new: Schema, path: str) -> Iterator[str]:
    old, new = olds.resolve(old), news.resolve(new)
    for keyword in ("type", "const", "format", "pattern"):
        if old.get(keyword) != new.get(keyword):
            yield f"{path or 'message'}: {keyword} changed from {old.get(keyword)!r} to {new.get(keyword)!r}"
    yield from _compare_words(old, new, path)
    yield from _compare_fields(olds, news, old, new, path)
    if "items" in old and "items" in new:
        yield from _compare(olds, news, old["items"], new["items"], f"{path}[]")
    for keyword in ("anyOf", "oneOf"):
        yield from _compare_choices(olds, news, old.get(keyword, []), new.get(keyword, []), path)


def _compare_words(old: Schema, new: Schema, path: str) -> Iterator[str]:
    before, after = set(map(str, old.get("enum", ()))), set(map(str, new.get("enum", ())))
    for word in sorted(before - after):
        yield f"{path}: the word {word!r} is gone, old messages may hold it"
    for word in sorted(after - before) if before else ():
        yield f"{path}: the word {word!r} is new, old readers refuse it"


def _compare_fields(olds: _Document, news: _Document, old: Schema, new: Schema, path: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    was_required, is_required = set(old.get("required", ())), set(new.get("required", ()))
    for name in before:
        where = f"{path}.{name}" if path else name
        if name not in after:
            if name in was_required:
                yield f"{where}: required by old readers and gone"
            continue
        if name in was_required and name not in is_required:
            yield f"{where}: required by old readers and now optional"
        yield from _compare(olds, news, before[name], after[name], where)
    for name in sorted(is_required - was_required):
        yield f"{path}.{name}".lstrip(".") + ": required, and old messages do not have it"


def _compare_choices(
    olds: _Document, news: _Document, before: list[Schema], after: list[Schema], path: str
) -> Iterator[str]:
    named = {_name(choice): choice for choice in after}
    for choice in before:
        if _name(choice) not in named:
            yield f"{path or 'message'}: the choice {_name(choice)} is gone"
            continue
        yield from _compare(olds, news, choice, named[_name(choice)], f"{path}<{_name(choice)}>")
    known = {_name(choice) for choice in before}
    for name in named if before else ():
        if name not in known:
            yield f"{path or 'message'}: the choice {name} is new, old readers refuse it"


def _name(choice: Schema) -> str:
    reference = choice.get("$ref")
    return reference.rsplit("/", 1)[1] if isinstance(reference, str) else str(choice.get("type", choice.get("const")))
