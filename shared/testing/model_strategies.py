"""Hypothesis strategies for contracts, made from their fields and constraints: a new model needs nothing written."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from enum import Enum
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import annotated_types
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, JsonValue, SecretStr
from pydantic.fields import FieldInfo

from shared.contracts.base import Contract

C = TypeVar("C", bound=BaseModel)
_TEXT = st.characters(codec="utf-8")
_LARGEST = 2**63 - 1


def models_below(package: ModuleType) -> list[type[Contract]]:
    """Return every contract whose module lies below a package, by name."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    found = {kind for kind in _descendants(Contract) if kind.__module__.startswith(f"{package.__name__}.")}
    return sorted(found, key=lambda kind: (kind.__module__, kind.__qualname__))


def models(kind: type[C]) -> st.SearchStrategy[C]:
    """Return values of a model; a field with a default is left out now and then."""
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in kind.model_fields.items():
        target = required if field.is_required() else optional
        target[name] = _field(kind, name, field)
    return st.fixed_dictionaries(required, optional=optional).map(lambda values: kind(**values))


def _field(kind: type[BaseModel], name: str, field: FieldInfo) -> st.SearchStrategy[Any]:
    try:
        return _values(field.annotation, field.metadata)
    except NotImplementedError as error:
        raise NotImplementedError(f"{kind.__name__}.{name}: {error}") from None


def _values(annotation: object, constraints: Iterable[object] = ()) -> st.SearchStrategy[Any]:
    """Return values of a type; NotImplementedError where this module has to learn it first."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(arguments[0], [*arguments[1:], *constraints])
    if origin in (Union, UnionType):
        return st.one_of(*(_values(choice, constraints) for choice in arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (list, dict, tuple):
        return _collection(origin, arguments, _Limits(constraints))
    if isinstance(annotation, type):
        return _single(annotation, _Limits(constraints))
    if annotation is JsonValue:
        return _json()
    raise NotImplementedError(f"no values are known for {annotation!r}")


def _collection(origin: object, arguments: tuple[Any, ...], limits: _Limits) -> st.SearchStrategy[Any]:
    if origin is dict:
        return st.dictionaries(_values(arguments[0]), _values(arguments[1]), max_size=3)
    items = st.lists(_values(arguments[0]), min_size=limits.shortest, max_size=limits.shortest + 3)
    return items if origin is list else items.map(tuple)


def _single(kind: type, limits: _Limits) -> st.SearchStrategy[Any]:
    if issubclass(kind, BaseModel):
        return models(kind)
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    simple: dict[type, st.SearchStrategy[Any]] = {
        NoneType: st.none(),
        bool: st.booleans(),
        int: st.integers(limits.least(-_LARGEST - 1), limits.most(_LARGEST)),
        float: limits.floats(),
        str: limits.texts(),
        SecretStr: limits.texts().map(SecretStr),
        AwareDatetime: _moments(),
    }
    if kind not in simple:
        raise NotImplementedError(f"no values are known for {kind!r}")
    return simple[kind]


def _moments() -> st.SearchStrategy[datetime]:
    offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
    # Near its ends the calendar has no such moment in UTC.
    return st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=offsets)  # noqa: DTZ001 - bounds are naive


def _json() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers(-_LARGEST, _LARGEST) | _finite() | st.text(_TEXT)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(_TEXT), inner, max_size=3),
        max_leaves=5,
    )


def _finite() -> st.SearchStrategy[float]:
    return st.floats(allow_nan=False, allow_infinity=False)


class _Limits:
    """The constraints of a field."""

    def __init__(self, constraints: Iterable[object]) -> None:
        self.low: float | None = None
        self.high: float | None = None
        self.excludes_low = False
        self.shortest = 0
        self.longest: int | None = None
        self.pattern: str | None = None
        for constraint in constraints:
            self._take(constraint)

    def _take(self, constraint: object) -> None:
        match constraint:
            case annotated_types.Ge(ge=low):
                self.low = float(str(low))
            case annotated_types.Gt(gt=low):
                self.low, self.excludes_low = float(str(low)), True
            case annotated_types.Le(le=high):
                self.high = float(str(high))
            case annotated_types.MinLen(min_length=shortest):
                self.shortest = shortest
            case annotated_types.MaxLen(max_length=longest):
                self.longest = longest
            case _ if isinstance(pattern := getattr(constraint, "pattern", None), str):
                self.pattern = pattern
            case _ if type(constraint).__module__.startswith("pydantic"):
                pass  # serializers and the like, which allow no fewer values
            case _:
                raise NotImplementedError(f"no values are known for the constraint {constraint!r}")

    def least(self, otherwise: int) -> int:
        return otherwise if self.low is None else int(self.low) + self.excludes_low

    def most(self, otherwise: int) -> int:
        return otherwise if self.high is None else int(self.high)

    def floats(self) -> st.SearchStrategy[float]:
        return st.floats(self.low, self.high, exclude_min=self.excludes_low, allow_nan=False, allow_infinity=False)

    def texts(self) -> st.SearchStrategy[str]:
        if self.pattern is not None:
            return st.from_regex(re.compile(self.pattern.removesuffix("$") + r"\Z", re.ASCII))
        return st.text(_TEXT, min_size=self.shortest, max_size=self.longest)


def _descendants(kind: type[Contract]) -> set[type[Contract]]:
    direct = set(kind.__subclasses__())
    return direct.union(*(_descendants(child) for child in direct))
