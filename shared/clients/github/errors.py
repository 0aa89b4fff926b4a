"""Errors of the GitHub client.

GitHubError
├── GitHubUnauthorized      401 / no installation: the App's credentials are wrong   fatal
├── GitHubPermissionDenied  403 without a rate limit: a permission is missing        permanent
├── GitHubNotFound          404                                                      permanent
├── GitHubConflict          405 / 409: the state of the object forbids it            permanent
│   └── MergeRefused        the pull request cannot be merged as it stands
├── GitHubInvalid           400 / 422: refused as it stands                          permanent
└── GitHubUnavailable       no answer, 5xx                                           upstream
    ├── GitHubUnreadable    an answer that is not what GitHub documents              upstream
    └── RateLimitExceeded   429, 403 with a limit, or the own hourly budget is spent upstream
"""

from __future__ import annotations

from datetime import datetime

from shared.clients.errors import ClientError
from shared.runtime.errors import Category


class GitHubError(ClientError):
    """GitHub did not do what was asked."""

    code = "github_error"

    def __init__(
        self, message: str | None = None, *, status: int | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.status = status


class GitHubUnauthorized(GitHubError):
    """GitHub does not accept the App's credentials."""

    code = "github_unauthorized"
    category = Category.FATAL


class GitHubPermissionDenied(GitHubError):
    """The installation lacks a permission for this."""

    code = "github_permission_denied"
    category = Category.PERMANENT


class GitHubNotFound(GitHubError):
    """There is no such object, or the installation cannot see it."""

    code = "github_not_found"
    category = Category.PERMANENT


class GitHubConflict(GitHubError):
    """The object is not in a state that allows this."""

    code = "github_conflict"
    category = Category.PERMANENT


class MergeRefused(GitHubConflict):
    """The pull request cannot be merged as it stands."""

    code = "github_merge_refused"


class GitHubInvalid(GitHubError):
    """GitHub refused the request as it stands."""

    code = "github_invalid"
    category = Category.PERMANENT


class GitHubUnavailable(GitHubError):
    """GitHub did not answer, or failed."""

    code = "github_unavailable"
    category = Category.UPSTREAM


class GitHubUnreadable(GitHubUnavailable):
    """GitHub answered something else than it documents."""

    code = "github_unreadable"


class RateLimitExceeded(GitHubUnavailable):
    """No request is sent before the limit resets."""

    code = "github_rate_limit"

    def __init__(self, message: str, *, reset_at: datetime, retry_after_seconds: float, status: int | None = None):
        super().__init__(message, status=status, retry_after_seconds=retry_after_seconds)
        self.reset_at = reset_at
