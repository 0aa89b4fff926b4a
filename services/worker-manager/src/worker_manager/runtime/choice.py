"""Picks the runtime the settings ask for."""

from __future__ import annotations

import os
import sys

from shared.logging import get_logger
from worker_manager.docker_images import ImageOptions, ImageStore
from worker_manager.docker_ops import DockerClientWrapper
from worker_manager.errors import RuntimeFailed, RuntimeUnavailable
from worker_manager.runtime.docker import DockerRuntime, DockerRuntimeOptions
from worker_manager.runtime.port import WorkerRuntime
from worker_manager.runtime.process import ProcessRuntime, ProcessRuntimeOptions
from worker_manager.settings import Settings

log = get_logger(__name__)


def process_runtime(settings: Settings) -> ProcessRuntime:
    """Return the process runtime; workers get users of their own when this process may give them."""
    environment = {**settings.worker_environment, "PATH": settings.worker_path, "LANG": "C.UTF-8"}
    return ProcessRuntime(
        ProcessRuntimeOptions(
            root=settings.workers_dir.resolve(),
            command=settings.command,
            python=sys.executable,
            environment=environment,
            uid_start=settings.worker_uid_start,
            is_privileged=os.geteuid() == 0,
            grace_seconds=settings.worker_stop_grace_seconds,
        )
    )


def docker_runtime(settings: Settings) -> DockerRuntime:
    """Return the runtime of the engine that DOCKER_HOST names, or of this host's; RuntimeUnavailable without one."""
    if not settings.worker_network:
        raise RuntimeUnavailable("WORKER_RUNTIME=docker needs WORKER_NETWORK, the network that workers join")
    try:
        engine = DockerClientWrapper()
    except RuntimeFailed as error:
        raise RuntimeUnavailable(str(error)) from error
    images = ImageOptions(
        prefix=settings.image_prefix,
        base=settings.worker_base_image,
        fetch=settings.worker_fetch_image,
        settings_dir=settings.build_settings_dir,
    )
    options = DockerRuntimeOptions(
        installation=settings.installation,
        network=settings.worker_network,
        environment=settings.worker_environment,
        ca_bundle=settings.worker_ca_bundle,
        oci_runtime=settings.worker_oci_runtime,
    )
    return DockerRuntime(engine, ImageStore(engine, images), options)


def build_runtime(settings: Settings) -> WorkerRuntime:
    """Return the configured runtime; RuntimeUnavailable when it cannot be had. `auto` is the process runtime."""
    if settings.worker_runtime == "docker":
        return docker_runtime(settings)
    if os.geteuid() != 0:
        log.warning("workers share this process's user: they are kept apart by nothing but their directories")
    return process_runtime(settings)
