"""What a worker may run. A courtesy to the agent: api and Redis refuse the same on their own account."""

from __future__ import annotations

from fnmatch import fnmatchcase

from orchestrator_cli.errors import NotAllowed


def is_allowed(command: str, patterns: tuple[str, ...] | None) -> bool:
    """Tell whether a `group.command` fits one of the patterns; without a list everything does."""
    return patterns is None or any(fnmatchcase(command, pattern) for pattern in patterns)


def require(command: str, patterns: tuple[str, ...] | None) -> None:
    """Raise NotAllowed unless the command fits one of the patterns."""
    if not is_allowed(command, patterns):
        allowed = ", ".join(patterns or ()) or "nothing"
        raise NotAllowed(
            f"permission denied: {command} is not allowed for this worker (allowed: {allowed})", {"command": command}
        )
