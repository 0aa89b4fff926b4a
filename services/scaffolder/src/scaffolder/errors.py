"""Errors of the scaffolder.

ScaffolderError
├── TemplateRejected     the template or its answers are wrong           permanent
├── TemplateUnavailable  the template could not be fetched or rendered   upstream
├── NameTaken            both names belong to other repositories         permanent
├── ForeignCloneUrl      GitHub named an address outside its own         permanent
├── ProcessFailed        a local command failed                          transient
│   └── DeadlineExceeded it took too long and was killed                 transient
└── PushFailed           the repository did not take the commit          upstream
"""

from __future__ import annotations

from shared.runtime.errors import Category, PlatformError


class ScaffolderError(PlatformError):
    """The repository could not be made."""

    code = "scaffolder_error"


class TemplateRejected(ScaffolderError):
    """The template cannot be rendered with these answers."""

    code = "template_rejected"
    category = Category.PERMANENT


class TemplateUnavailable(ScaffolderError):
    """The template could not be fetched."""

    code = "template_unavailable"
    category = Category.UPSTREAM


class NameTaken(ScaffolderError):
    """Every name for the repository belongs to another project."""

    code = "name_taken"
    category = Category.PERMANENT


class ForeignCloneUrl(ScaffolderError):
    """The clone address is not below GITHUB_WEB_URL: no token is sent there."""

    code = "foreign_clone_url"
    category = Category.PERMANENT


class ProcessFailed(ScaffolderError):
    """A command ended with an error."""

    code = "process_failed"

    def __init__(self, message: str, *, returncode: int | None = None) -> None:
        super().__init__(message)
        self.returncode = returncode


class DeadlineExceeded(ProcessFailed):
    """A command took too long and was ended."""

    code = "deadline_exceeded"


class PushFailed(ScaffolderError):
    """The repository did not take the commit."""

    code = "push_failed"
    category = Category.UPSTREAM
