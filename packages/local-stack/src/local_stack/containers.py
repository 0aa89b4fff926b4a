"""What the doctor says about the containers of this checkout's .env: images, disk space, ports, where links lead."""

from __future__ import annotations

import errno
import shutil
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from local_stack.doctor import Finding
from local_stack.engine import first_line, lines

FREE_DISK_GB = 5
PORTS = (("BIND_ADDRESS", "API_PORT"), ("BIND_ADDRESS", "TELEGRAM_PORT"), ("SERVER_BIND", "APPLICATION_PORTS"))
THIS_HOST_ALONE = ("127.", "172.", "localhost")


def container_findings(env: Path) -> list[Finding]:
    """Return the findings of a .env, for an engine that answers."""
    settings = _settings(env) if env.is_file() else {}
    return [*_images(settings), *_disk(), *_ports(settings), *_links(settings)]


def _settings(env: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in env.read_text().splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _images(settings: dict[str, str]) -> Iterator[Finding]:
    prefix = settings.get("IMAGE_PREFIX") or "codegen*"
    bases = lines(
        ["docker", "image", "ls", "--filter", f"reference={prefix}/base", "--format", "{{.Repository}}:{{.Tag}}"]
    )
    made = ", ".join(bases) or "none yet: pulled, or made of Debian's packages, by `make images`"
    yield Finding("base image", True, made)
    built = lines(["docker", "image", "ls", "--filter", "label=codegen.image", "--format", "{{.Repository}}"])
    by_prefix = Counter(name.partition("/")[0] for name in built if name.startswith("codegen"))
    said = ", ".join(f"{count} of {name}/" for name, count in sorted(by_prefix.items()))
    yield Finding("images", True, said or "none yet: `make images` builds them")


def _disk() -> Iterator[Finding]:
    folder = Path(first_line(["docker", "info", "--format", "{{.DockerRootDir}}"]) or "/var/lib/docker")
    if not folder.exists():
        yield Finding("disk of the engine", True, f"{folder} cannot be looked at from here")
        return
    free = shutil.disk_usage(folder).free / 1e9
    fix = f"free at least {FREE_DISK_GB} GB there: `docker system prune` removes what nothing uses"
    yield Finding("disk of the engine", free > FREE_DISK_GB, f"{free:.1f} GB free in {folder}", fix)


def _ports(settings: dict[str, str]) -> Iterator[Finding]:
    project = settings.get("COMPOSE_PROJECT_NAME")
    if project is None:
        return
    label = f"label=com.docker.compose.project={project}"
    if lines(["docker", "ps", "--quiet", "--filter", label]):
        yield Finding("ports", True, f"the containers of {project} run and have them")
        return
    taken = [f"{name}: {port}" for address, name in PORTS for port in _taken(settings, address, name)]
    said = ", ".join(taken) or "free"
    yield Finding(
        "ports", not taken, said if not taken else f"taken: {said}", "put free ones into .env, then `make up`"
    )


def _taken(settings: dict[str, str], address: str, name: str) -> Iterator[int]:
    first, _, last = settings.get(name, "").partition("-")
    if not first.isdecimal():
        return
    for port in range(int(first), int(last or first) + 1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.get(address, ""), port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    yield port


def _links(settings: dict[str, str]) -> Iterator[Finding]:
    if "SERVER_HOST" not in settings:
        return
    host = settings["SERVER_HOST"]
    reach = "; that is this host alone: SERVER_HOST=<its public name> and SERVER_BIND=0.0.0.0 in .env"
    if not host.startswith(THIS_HOST_ALONE):
        reach = ""
    yield Finding("links of applications", True, f"http://{host}:{settings.get('APPLICATION_PORTS', '')}{reach}")
