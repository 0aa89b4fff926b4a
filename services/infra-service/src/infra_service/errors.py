"""Errors of infra-service.

InfraError
├── HostBusy      another run prepares this host            transient
├── PlayCrashed   Ansible ended without a word              transient
├── PlayTimeout   the deadline passed; the run was ended    permanent
└── NotConfigured a setting is missing for this server      permanent
"""

from __future__ import annotations

from shared.runtime.errors import Category, PlatformError


class InfraError(PlatformError):
    """The server could not be prepared."""

    code = "infra_error"


class HostBusy(InfraError):
    """Another run prepares this host."""

    code = "host_busy"


class PlayCrashed(InfraError):
    """Ansible ended without a result."""

    code = "play_crashed"


class PlayTimeout(InfraError):
    """Ansible took too long and was ended."""

    code = "play_timeout"
    category = Category.PERMANENT


class NotConfigured(InfraError):
    """A setting is missing for this server."""

    code = "not_configured"
    category = Category.PERMANENT
