"""What must hold of the containers: who is root, who reaches the database, what the engine's books tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from local_stack.testing.deployment import Deployment, docker

ROOT_FOR_A_REASON = {"worker-manager", "server"}
RUN_FOREIGN_CODE = ("worker-manager", "emulator-github", "server")
# Says whether a TCP connection can be made; "refused" would be a route all the same.
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)
    print("connected")
except OSError as error:
    print(type(error).__name__)
"""


def _addresses(container: Mapping[str, Any]) -> list[str]:
    return [network["IPAddress"] for network in container["NetworkSettings"]["Networks"].values()]


def _is_reached(deployment: Deployment, service: str, address: str, port: int) -> bool:
    said = deployment.said_in(service, "python3", "-c", CONNECT, address, str(port)).strip()
    assert said in {"connected", "TimeoutError", "OSError", "ConnectionRefusedError", "gaierror"}, said
    return said in {"connected", "ConnectionRefusedError"}


def test_the_database_is_reached_by_those_who_need_it(deployment: Deployment) -> None:
    (address,) = _addresses(deployment.container("postgres"))
    assert _is_reached(deployment, "langgraph", address, 5432)


@pytest.mark.parametrize("service", RUN_FOREIGN_CODE)
def test_what_runs_foreign_code_has_no_route_to_the_database(deployment: Deployment, service: str) -> None:
    (address,) = _addresses(deployment.container("postgres"))
    assert not _is_reached(deployment, service, address, 5432)
    assert not _is_reached(deployment, service, "postgres", 5432)


def test_only_the_known_containers_run_as_root(deployment: Deployment) -> None:
    users = {name: entry["Config"]["User"] for name, entry in deployment.containers().items()}
    assert {name for name, user in users.items() if user in {"", "root", "0"}} == ROOT_FOR_A_REASON


def test_no_container_may_gain_rights(deployment: Deployment) -> None:
    for name, entry in deployment.containers().items():
        host = entry["HostConfig"]
        assert not host["Privileged"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], name
        assert host["Memory"], name


def test_no_secret_is_in_the_engines_books(deployment: Deployment) -> None:
    containers = deployment.containers()
    images = sorted({entry["Image"] for entry in containers.values()})
    books = docker("inspect", *[entry["Id"] for entry in containers.values()], *images)
    books += "".join(docker("history", "--no-trunc", image) for image in images)
    assert len(deployment.secrets) >= 8
    assert [name for name, value in deployment.secrets.items() if value in books] == []


def test_no_image_remembers_where_its_packages_came_from(deployment: Deployment) -> None:
    images = sorted({entry["Image"] for entry in deployment.containers().values()})
    for image in images:
        assert "://" not in docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
