"""The embedded server's row: made once, its addresses kept up to date."""

from __future__ import annotations

from infra_service.registration import RegistrationSettings, register
from shared.contracts.vocabulary import ServerStatus
from shared.testing.api import FakeApi


def _settings(host: str = "192.0.2.1") -> RegistrationSettings:
    return RegistrationSettings(
        server_host=host, server_deploy_url="http://server:8090", application_ports="18100-18119"
    )


async def test_a_new_server_waits_for_its_setup() -> None:
    server = await register(FakeApi(), _settings().row)
    assert (server.status, server.port_range_start, server.port_range_end) == (ServerStatus.PENDING_SETUP, 18100, 18119)
    assert server.is_embedded


async def test_a_repeat_changes_the_address_and_nothing_else() -> None:
    api = FakeApi()
    first = await register(api, _settings().row)
    moved = await register(api, _settings("apps.example.org").row)
    assert (moved.handle, moved.host, moved.status) == (first.handle, "apps.example.org", first.status)
    assert len(await api.list_servers()) == 1
