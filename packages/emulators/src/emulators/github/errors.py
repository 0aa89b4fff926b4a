"""Everything the emulator raises on purpose.

EmulatorError
├── GitHubError            an answer with GitHub's error body
│   ├── BadRequest 400, Unauthorized 401, Forbidden 403, NotFound 404
│   └── NotAllowed 405, Conflict 409, Unprocessable 422
├── GitError               git ended with a code nobody expected
├── ExpressionError        a ${{ … }} that cannot be read or evaluated
├── WorkflowError          a workflow file that cannot run
└── StepError              a step that cannot be carried out by this runner
"""

from collections.abc import Sequence


class EmulatorError(Exception):
    """The root of the tree."""


class GitHubError(EmulatorError):
    """An answer in GitHub's error shape."""

    status = 500

    def __init__(self, message: str, errors: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.errors = list(errors)


class BadRequest(GitHubError):
    """The body is not JSON."""

    status = 400


class Unauthorized(GitHubError):
    """No credentials, or bad ones."""

    status = 401


class Forbidden(GitHubError):
    """Known, but not allowed."""

    status = 403


class NotFound(GitHubError):
    """Absent, or invisible to this token."""

    status = 404

    def __init__(self, message: str = "Not Found", errors: Sequence[object] = ()) -> None:
        super().__init__(message, errors)


class NotAllowed(GitHubError):
    """The state of the object forbids it."""

    status = 405


class Conflict(GitHubError):
    """Somebody else was faster."""

    status = 409


class Unprocessable(GitHubError):
    """Understood and refused."""

    status = 422

    @classmethod
    def validation(
        cls, resource: str, code: str, *, field: str | None = None, message: str | None = None
    ) -> "Unprocessable":
        """Build the usual "Validation Failed" answer with one error entry."""
        entry = {"resource": resource, "code": code}
        if field is not None:
            entry["field"] = field
        if message is not None:
            entry["message"] = message
        return cls("Validation Failed", [entry])


class GitError(EmulatorError):
    """git ended with an unexpected code."""

    def __init__(self, arguments: Sequence[str], code: int, stderr: str) -> None:
        super().__init__(f"git {' '.join(arguments)} ended with {code}: {stderr.strip()}")
        self.code = code
        self.stderr = stderr


class ExpressionError(EmulatorError):
    """An expression that cannot be read or evaluated."""


class WorkflowError(EmulatorError):
    """A workflow file that cannot run."""


class StepError(EmulatorError):
    """A step this runner cannot carry out."""
