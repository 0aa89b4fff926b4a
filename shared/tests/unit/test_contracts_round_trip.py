"""Every contract there is, with values drawn at random: the same after the wire, strict to write, tolerant to read."""

from __future__ import annotations

import functools
import inspect
import json
import math
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

import shared.contracts
from shared.contracts.base import Contract, QueueMeta
from shared.contracts.stages import AgentVerdict, Usage
from shared.contracts.topology import TOPOLOGY
from shared.redis.codec import Decoder, encode
from shared.testing.model_strategies import models, models_below

MODELS = models_below(shared.contracts)
values_of = functools.cache(models)  # building one costs more than drawing from it
EXAMPLES = settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
all_models = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__qualname__)


@all_models
@EXAMPLES
@given(data=st.data())
def test_a_contract_is_the_same_after_the_wire(model: type[Contract], data: st.DataObject) -> None:
    value = data.draw(values_of(model))
    assert model.model_validate_json(value.model_dump_json()) == value


@all_models
@settings(EXAMPLES, max_examples=3)
@given(data=st.data())
def test_a_newer_writers_field_is_refused_strictly_and_ignored_tolerantly(
    model: type[Contract], data: st.DataObject
) -> None:
    value = data.draw(values_of(model))
    newer = json.dumps({**json.loads(value.model_dump_json()), "added_by_a_newer_writer": {"x": [1]}})
    assert model.model_validate_json(newer, extra="ignore") == value
    with pytest.raises(ValidationError, match="added_by_a_newer_writer"):
        model.model_validate_json(newer)


@all_models
def test_a_contract_refuses_change_and_words_it_does_not_know(model: type[Contract]) -> None:
    assert model.model_config.get("frozen") is True
    assert model.model_config.get("extra") == "forbid"


def carried() -> list[tuple[str, type[QueueMeta]]]:
    """Return each stream with each message it may carry."""
    by_name = {model.__name__: model for model in MODELS}
    found = []
    for stream in (*TOPOLOGY, TOPOLOGY[0].dead_letters):
        schema = stream.adapter.json_schema()
        names = [choice["$ref"].rsplit("/", 1)[1] for choice in schema.get("oneOf", [])] or [schema["title"]]
        found += [(stream.name, by_name[name]) for name in names]
    return [(name, model) for name, model in found if issubclass(model, QueueMeta)]


@pytest.mark.parametrize(("name", "model"), carried(), ids=lambda part: str(getattr(part, "__name__", part)))
@EXAMPLES
@given(data=st.data())
def test_a_message_passes_its_stream(name: str, model: type[QueueMeta], data: st.DataObject) -> None:
    stream = next(stream for stream in (*TOPOLOGY, TOPOLOGY[0].dead_letters) if stream.name == name)
    message: Any = data.draw(values_of(model))
    assert Decoder(stream).decode(encode(message)) == message


def test_no_model_of_the_contracts_is_left_out() -> None:
    own = [module for name, module in sys.modules.items() if name.startswith("shared.contracts.")]
    defined = {
        kind
        for module in own
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, BaseModel) and kind.__module__ == module.__name__
    }
    assert defined - {Contract} == set(MODELS)
    assert {model for _, model in carried()} <= set(MODELS)
    assert {name for name, _ in carried()} == {stream.name for stream in (*TOPOLOGY, TOPOLOGY[0].dead_letters)}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_hold_is_refused_by_its_writer(value: float) -> None:
    for write in (lambda: Usage(cost_usd=value), lambda: AgentVerdict(data={"a": [value]})):
        with pytest.raises(ValidationError):
            write()


def test_a_type_that_the_strategies_do_not_know_is_named() -> None:
    class Odd(BaseModel):
        value: complex

    with pytest.raises(NotImplementedError, match=r"Odd\.value: no values are known for <class 'complex'>"):
        models(Odd)
