"""What is asked of Ansible for which server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from pydantic import JsonValue, SecretStr

from infra_service.errors import NotConfigured
from infra_service.plays import Play, PlayOutcome, as_data
from infra_service.provisioning import Provisioner
from infra_service.settings import InfraSettings
from shared.contracts.dto.infrastructure import ServerDTO
from shared.contracts.vocabulary import ServerStatus
from shared.testing.clock import FakeClock


class FakePlays:
    """Notes the plays and answers from a list, the last answer for ever."""

    def __init__(self, *outcomes: PlayOutcome) -> None:
        self.plays: list[Play] = []
        self._outcomes = list(outcomes) or [PlayOutcome(status="successful")]

    async def run(self, play: Play) -> PlayOutcome:
        self.plays.append(play)
        return self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]


def server(host: str = "10.0.0.5", *, is_embedded: bool = False) -> ServerDTO:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return ServerDTO(
        handle="one",
        host=host,
        is_embedded=is_embedded,
        deploy_url=None,
        port_range_start=8100,
        port_range_end=8199,
        status=ServerStatus.PENDING_SETUP,
        last_error=None,
        created_at=now,
        updated_at=now,
    )


def settings(**values: Path) -> InfraSettings:
    return InfraSettings.model_validate({"deploy_token": SecretStr("t0ken"), **values})


def provisioner(plays: FakePlays, given: InfraSettings) -> Provisioner:
    return Provisioner(plays, given, FakeClock(), pauses_seconds=(0.0, 0.0))


async def test_the_embedded_server_is_prepared_locally_and_only_its_own_tasks_run() -> None:
    plays = FakePlays()
    await provisioner(plays, settings(server_dir=Path("/srv/x"))).provision(server(is_embedded=True))
    [play] = plays.plays
    assert play.tags == ("embedded",)
    assert play.connection["ansible_connection"] == "local"
    assert play.variables["server_dir"] == "/srv/x"


async def test_the_deploy_token_is_handed_over_as_its_hash_only() -> None:
    plays = FakePlays()
    await provisioner(plays, settings(server_dir=Path("/srv/x"))).provision(server(is_embedded=True))
    assert "t0ken" not in str(plays.plays)


async def test_another_server_is_prepared_over_ssh(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA orchestrator\n")
    plays = FakePlays()
    given = settings(ssh_private_key_file=tmp_path / "key", ssh_public_key_file=tmp_path / "key.pub")
    await provisioner(plays, given).provision(server())
    [play] = plays.plays
    assert (play.tags, play.connection["ansible_connection"]) == ((), "ssh")
    assert play.connection["ansible_host"] == "10.0.0.5"
    assert play.variables["public_key"] == "ssh-ed25519 AAAA orchestrator"


async def test_a_host_that_is_not_reached_is_tried_three_times(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA")
    plays = FakePlays(PlayOutcome(status="failed", failures=["no route"], is_unreachable=True))
    given = settings(ssh_private_key_file=tmp_path / "key", ssh_public_key_file=tmp_path / "key.pub")
    outcome = await provisioner(plays, given).provision(server())
    assert len(plays.plays) == 3
    assert outcome.failures == ["no route"]


async def test_a_failed_task_is_not_tried_again() -> None:
    plays = FakePlays(PlayOutcome(status="failed", failures=["Program: no space"]))
    outcome = await provisioner(plays, settings(server_dir=Path("/srv/x"))).provision(server(is_embedded=True))
    assert len(plays.plays) == 1
    assert not outcome.is_successful


@pytest.mark.parametrize("is_embedded", [True, False])
async def test_a_missing_setting_is_named(is_embedded: bool) -> None:
    with pytest.raises(NotConfigured, match=r"SERVER_DIR|SSH_PRIVATE_KEY_FILE"):
        await provisioner(FakePlays(), settings()).provision(server(is_embedded=is_embedded))


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "", "a b", "{{ 1 }}"])
async def test_an_address_that_is_none_never_reaches_ssh(host: str) -> None:
    plays = FakePlays()
    with pytest.raises(NotConfigured):
        await provisioner(plays, settings()).provision(server(host))
    assert plays.plays == []


def test_every_text_is_marked_as_data() -> None:
    values: dict[str, JsonValue] = {"a": "{{ x }}", "b": {"c": ['"d": #', 5, True, None]}}
    marked: list[str] = []

    class Loader(yaml.SafeLoader):
        """Knows the mark."""

    def unsafe(_: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
        marked.append(node.value)
        return str(node.value)

    Loader.add_constructor("!unsafe", unsafe)
    assert yaml.load(as_data(values), Loader=Loader) == values
    assert marked == ["{{ x }}", '"d": #']
