"""The embedded server's row: made once, its addresses kept up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra_service.archive import appd_program
from infra_service.registration import RegistrationSettings, register
from shared.contracts.dto.infrastructure import ServerUpdate
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


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "bin" / "appd").write_bytes(appd_program())
    (tmp_path / "etc" / "appd.json").write_text("{}")
    return tmp_path


async def _status_after_repeat(folder: Path, before: ServerStatus) -> ServerStatus:
    api = FakeApi()
    await register(api, _settings().row, folder)
    await api.update_server("local", ServerUpdate(status=before))
    return (await register(api, _settings().row, folder)).status


@pytest.mark.parametrize("status", [ServerStatus.ACTIVE, ServerStatus.UNREACHABLE])
async def test_a_prepared_server_stays_as_it_is(prepared: Path, status: ServerStatus) -> None:
    assert await _status_after_repeat(prepared, status) is status


@pytest.mark.parametrize("lost", ["bin/appd", "etc/appd.json"])
async def test_a_server_that_lost_its_folder_is_prepared_again(prepared: Path, lost: str) -> None:
    (prepared / lost).unlink()
    assert await _status_after_repeat(prepared, ServerStatus.ACTIVE) is ServerStatus.PENDING_SETUP


async def test_a_server_with_another_releases_program_is_prepared_again(prepared: Path) -> None:
    (prepared / "bin" / "appd").write_bytes(b"older")
    assert await _status_after_repeat(prepared, ServerStatus.ACTIVE) is ServerStatus.PENDING_SETUP
