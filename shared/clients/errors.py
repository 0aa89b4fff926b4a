"""Errors of clients.

ClientError
├── ApiError
│   ├── NotFound          404   permanent
│   ├── Conflict          409   permanent
│   ├── Denied            401/403 permanent
│   ├── Invalid           400/422 permanent
│   └── Unavailable       no answer, 429, 5xx: upstream
└── GitHubError (see shared.clients.github.errors)
"""

from __future__ import annotations

from shared.contracts.dto.problem import FieldError, Problem
from shared.runtime.errors import Category, PlatformError


class ClientError(PlatformError):
    """Another system did not do what was asked."""

    code = "client_error"
    category = Category.UPSTREAM


class ApiError(ClientError):
    """The api refused or failed."""

    code = "api_error"

    def __init__(self, message: str, *, code: str | None = None, errors: list[FieldError] | None = None) -> None:
        super().__init__(message)
        self.api_code = code or self.code
        self.errors = errors or []

    @classmethod
    def from_problem(cls, problem: Problem) -> ApiError:
        """Return the leaf that fits a problem document's status."""
        leaf = _LEAVES.get(problem.status, Unavailable if problem.status >= 500 else Invalid)
        return leaf(problem.detail or problem.title, code=problem.code, errors=problem.errors)


class NotFound(ApiError):
    """There is no such row, or it belongs to somebody else."""

    code = "not_found"
    category = Category.PERMANENT


class Conflict(ApiError):
    """The row is not in a state that allows this."""

    code = "conflict"
    category = Category.PERMANENT


class Denied(ApiError):
    """The token is missing, expired or not allowed to do this."""

    code = "denied"
    category = Category.PERMANENT


class Invalid(ApiError):
    """The request was refused as it stands."""

    code = "invalid"
    category = Category.PERMANENT


class Unavailable(ApiError):
    """The api did not answer, or asked to come back later."""

    code = "unavailable"
    category = Category.UPSTREAM


_LEAVES: dict[int, type[ApiError]] = {
    401: Denied,
    403: Denied,
    404: NotFound,
    409: Conflict,
    400: Invalid,
    422: Invalid,
    429: Unavailable,
    503: Unavailable,
}
