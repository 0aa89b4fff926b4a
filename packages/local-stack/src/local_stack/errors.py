"""Errors of the local stack.

StackError
├── Precondition      something must be mended first; says what and how
├── AlreadyRunning    another stack uses this home
├── NotRunning        nothing to talk to
├── ChildFailed       a process keeps ending; names its log
└── DemoFailed        the conversation did not lead where it should
"""

from __future__ import annotations

from shared.runtime.errors import Category, PlatformError


class StackError(PlatformError):
    """The stack cannot do what was asked."""

    code = "stack_error"
    category = Category.PERMANENT


class Precondition(StackError):
    """Something this machine lacks."""

    code = "precondition"

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}\n  fix: {fix}")
        self.what = what
        self.fix = fix


class AlreadyRunning(StackError):
    """A stack is already running in this home."""

    code = "already_running"


class NotRunning(StackError):
    """No stack is running in this home: start one with `codegen up`."""

    code = "not_running"


class ChildFailed(StackError):
    """A process of the stack keeps ending."""

    code = "child_failed"


class DemoFailed(StackError):
    """The demo did not lead to a working application."""

    code = "demo_failed"
