"""Errors of the wrapper.

WrapperError
├── SettingsError        fatal      an environment variable is missing or has no meaning
├── ResultParseError     transient  the agent's <result> block is not a JSON object
├── WorkspaceError       transient  git could not do what a stage needs
├── Interrupted          transient  the worker was told to stop: the message goes back
└── RedisLost            fatal      Redis stayed away longer than the worker may live without it
"""

from __future__ import annotations

from shared.runtime.errors import Category, PlatformError


class WrapperError(PlatformError):
    """The worker could not do its part."""

    code = "wrapper_error"


class SettingsError(WrapperError):
    """An environment variable is missing or has no meaning."""

    code = "invalid_settings"
    category = Category.FATAL


class ResultParseError(WrapperError):
    """The agent's <result> block is not a JSON object."""

    code = "result_parse_error"


class WorkspaceError(WrapperError):
    """The workspace could not be prepared, committed or pushed."""

    code = "workspace_error"


class Interrupted(WrapperError):
    """The worker was told to stop while it was working."""

    code = "interrupted"


class RedisLost(WrapperError):
    """Redis stayed away longer than this worker may live without it."""

    code = "redis_lost"
    category = Category.FATAL
