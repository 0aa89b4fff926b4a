"""Errors of worker-manager.

WorkerManagerError
├── Refused                       an answer to a command: `code` (RefusalCode) and `is_retryable`
│   ├── ResourceExhausted         retryable
│   ├── AuthMissing
│   ├── DockerSocketRefused
│   ├── UnsandboxedRefused
│   ├── InvalidConfig
│   ├── UnknownWorker
│   ├── RuntimeFailed             retryable
│   └── ImageFailed               retryable
├── RuntimeUnavailable            fatal: this build or host cannot run workers as configured
└── LeftoverProcesses             processes of a worker outlived SIGKILL
"""

from __future__ import annotations

from typing import ClassVar

from shared.contracts.queues.workers import RefusalCode
from shared.runtime.errors import Category, PlatformError


class WorkerManagerError(PlatformError):
    """The worker manager could not do what was asked."""

    code = "worker_manager_error"


class Refused(WorkerManagerError):
    """The command was refused."""

    code = "refused"
    category = Category.PERMANENT
    refusal: ClassVar[RefusalCode] = RefusalCode.INVALID_CONFIG
    is_retryable: ClassVar[bool] = False


class ResourceExhausted(Refused):
    """Every worker slot stayed taken; ask again later."""

    refusal = RefusalCode.RESOURCE_EXHAUSTED
    is_retryable = True


class AuthMissing(Refused):
    """No usable credential for the agent is configured."""

    refusal = RefusalCode.AUTH_MISSING


class DockerSocketRefused(Refused):
    """The docker capability hands out the engine's socket; set ALLOW_DOCKER_SOCKET=true to allow it."""

    refusal = RefusalCode.DOCKER_SOCKET_REFUSED


class UnsandboxedRefused(Refused):
    """A real model would drive plain processes on this host; use a Docker engine or set UNSANDBOXED=true."""

    refusal = RefusalCode.UNSANDBOXED_REFUSED


class InvalidConfig(Refused):
    """The worker's configuration cannot be carried out."""

    refusal = RefusalCode.INVALID_CONFIG


class UnknownWorker(Refused):
    """No such worker is known."""

    refusal = RefusalCode.UNKNOWN_WORKER


class RuntimeFailed(Refused):
    """The runtime could not start or stop the worker."""

    category = Category.TRANSIENT
    refusal = RefusalCode.RUNTIME_FAILED
    is_retryable = True


class ImageFailed(Refused):
    """The worker's image could not be built."""

    category = Category.TRANSIENT
    refusal = RefusalCode.IMAGE_FAILED
    is_retryable = True


class RuntimeUnavailable(WorkerManagerError):
    """The configured worker runtime is not available."""

    code = "runtime_unavailable"
    category = Category.FATAL


class LeftoverProcesses(WorkerManagerError):
    """Processes of a worker are still alive after SIGKILL."""

    code = "leftover_processes"
