"""Errors over HTTP: application/problem+json with a stable code."""

from __future__ import annotations

from pydantic import Field

from shared.contracts.base import Contract


class FieldError(Contract):
    field: str
    message: str


class Problem(Contract):
    type: str = "about:blank"
    title: str
    status: int
    code: str = Field(description="stable, for programs")
    detail: str = ""
    errors: list[FieldError] = Field(default_factory=list)
