"""Turns answers into models; an answer that does not fit is an error of this client's tree, never a stray one."""

from __future__ import annotations

from typing import TypeVar

import httpx
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from shared.clients.github.errors import GitHubUnreadable

M = TypeVar("M", bound=BaseModel)
_LIST: TypeAdapter[list[JsonValue]] = TypeAdapter(list[JsonValue])


def read(model: type[M], response: httpx.Response) -> M:
    """Return what an answer holds; raises GitHubUnreadable."""
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise _unreadable(model, response, error) from error


def read_list(model: type[M], response: httpx.Response) -> list[M]:
    """Return the entries of an answer that is a plain array; raises GitHubUnreadable."""
    try:
        return [model.model_validate(entry) for entry in _LIST.validate_json(response.content)]
    except ValidationError as error:
        raise _unreadable(model, response, error) from error


def _unreadable(model: type[BaseModel], response: httpx.Response, error: ValidationError) -> GitHubUnreadable:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the body"
    text = f"{response.request.method} {response.request.url.path}: no {model.__name__}: {where}: {first['msg']}"
    return GitHubUnreadable(text, status=response.status_code)
