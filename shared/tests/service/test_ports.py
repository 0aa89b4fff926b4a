"""Ports to listen on."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from shared.runtime import ports

pytestmark = pytest.mark.service


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.socket() as listening:
        listening.bind((ports.LOOPBACK, ports.free_port()))
        listening.listen()
        assert not ports.is_free(listening.getsockname()[1])


def test_a_free_port_is_none_that_a_connection_may_be_given() -> None:
    chosen = {ports.free_port() for _ in range(20)}
    assert len(chosen) > 1
    assert all(ports.is_free(port) and port < ports.first_ephemeral_port() for port in chosen)


def test_a_system_that_gives_all_ports_to_connections_is_asked_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = tmp_path / "ip_local_port_range"
    everything.write_text("1024\t65535\n")
    monkeypatch.setattr(ports, "_EPHEMERAL_PORTS", everything)
    assert ports.first_ephemeral_port() == 1024
    assert ports.is_free(ports.free_port())


@pytest.mark.parametrize("content", [None, "", "many"])
def test_where_the_system_does_not_say_the_usual_range_holds(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unclear = tmp_path / "ip_local_port_range"
    if content is not None:
        unclear.write_text(content)
    monkeypatch.setattr(ports, "_EPHEMERAL_PORTS", unclear)
    assert ports.first_ephemeral_port() == 32_768
