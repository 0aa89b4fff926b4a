"""Errors of the api: each leaf is one problem document.

ApiProblem
├── Unauthenticated       401
├── Forbidden             403
├── RowNotFound           404
├── Refused               409  with the code of the rule that refused
├── BadRequest            422  with the fields at fault
└── DatabaseUnavailable   503  with Retry-After
"""

from __future__ import annotations

from typing import ClassVar

from shared.contracts.dto.problem import FieldError
from shared.runtime.errors import Category, PlatformError


class ApiProblem(PlatformError):
    """The request cannot be served."""

    code = "api_problem"
    category = Category.PERMANENT
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Error"

    def __init__(
        self, message: str | None = None, *, code: str | None = None, errors: list[FieldError] | None = None
    ) -> None:
        super().__init__(message)
        self.problem_code = code or self.code
        self.errors = errors or []


class Unauthenticated(ApiProblem):
    """A bearer token is needed, and the one given is missing, malformed or expired."""

    code = "unauthenticated"
    status = 401
    title = "Unauthorized"


class Forbidden(ApiProblem):
    """This token may not do this."""

    code = "forbidden"
    status = 403
    title = "Forbidden"


class RowNotFound(ApiProblem):
    """There is no such row."""

    code = "not_found"
    status = 404
    title = "Not Found"

    def __init__(self, what: str, key: str | int) -> None:
        super().__init__(f"there is no {what} {key}")


class Refused(ApiProblem):
    """The row is not in a state that allows this."""

    code = "conflict"
    status = 409
    title = "Conflict"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code)


class BadRequest(ApiProblem):
    """The request is not valid."""

    code = "invalid_request"
    status = 422
    title = "Unprocessable Content"

    @classmethod
    def field(cls, field: str, message: str) -> BadRequest:
        """Return the problem of one field."""
        return cls(f"{field}: {message}", errors=[FieldError(field=field, message=message)])


class DatabaseUnavailable(ApiProblem):
    """The database does not answer; try again."""

    code = "database_unavailable"
    category = Category.UPSTREAM
    status = 503
    title = "Service Unavailable"


class MigrationMissing(PlatformError):
    """The database is not at the migration this version needs."""

    code = "migration_missing"
    category = Category.UPSTREAM
