"""What a stack keeps in its home: ports, secrets, scenarios, reports."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict
from pathlib import Path

import jwt
import pytest

from local_stack.credentials import AUDIENCE, Credentials, ensure_github_key
from local_stack.demo.report import Report
from local_stack.demo.scenario import bundled_scenario, load_scenario
from local_stack.errors import Precondition
from local_stack.layout import Layout
from local_stack.ports import BLOCK, Ports, claimed_ports
from shared.runtime.ports import first_ephemeral_port

pytestmark = pytest.mark.service


def _ports(path: Path) -> Ports:
    """Return the ports of a stack that ran for a moment."""
    with claimed_ports(path) as ports:
        return ports


def test_ports_stay_the_same_from_start_to_start(tmp_path: Path) -> None:
    first = _ports(tmp_path / "ports.json")
    assert _ports(tmp_path / "ports.json") == first
    values = list(asdict(first).values())
    assert len(set(values)) == len(values)


def test_no_connection_is_given_a_port_of_a_stack_that_is_down_for_a_moment(tmp_path: Path) -> None:
    assert max(asdict(_ports(tmp_path / "ports.json")).values()) < first_ephemeral_port()


def test_stacks_that_choose_before_any_of_them_listens_choose_different_ports(tmp_path: Path) -> None:
    with claimed_ports(tmp_path / "one.json") as one, claimed_ports(tmp_path / "two.json") as two:
        assert abs(one.applications - two.applications) >= BLOCK
        assert not set(asdict(one).values()) & set(asdict(two).values())


def test_a_stack_whose_block_another_one_took_keeps_its_applications_addresses(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    before = _ports(path)
    (tmp_path / "other.json").write_text(json.dumps({"applications": before.applications}))
    with claimed_ports(tmp_path / "other.json") as other, socket.socket() as listening:
        listening.bind(("127.0.0.1", other.api))
        after = _ports(path)
    assert after.applications == before.applications
    assert after.api != before.api
    assert after.redis == before.redis


def test_a_port_somebody_took_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    before = _ports(path)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", before.api))
        other.listen()
        after = _ports(path)
        assert after.api != before.api
        assert {**asdict(after), "api": before.api} == asdict(before)
        assert _ports(path) == after


def test_a_damaged_ports_file_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    path.write_text("{broken")
    assert _ports(path) == _ports(path)


def test_credentials_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    first = Credentials.load_or_create(tmp_path)
    assert Credentials.load_or_create(tmp_path) == first
    assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600
    private, public = ensure_github_key(tmp_path)
    assert private.stat().st_mode & 0o777 == 0o600
    assert ensure_github_key(tmp_path) == (private, public)


@pytest.mark.parametrize("content", ["{broken", "{}", "[]", '"text"', json.dumps({"postgres_password": "only this"})])
def test_a_damaged_credentials_file_is_named_and_never_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(content)
    with pytest.raises(Precondition, match=r"credentials\.json is damaged"):
        Credentials.load_or_create(tmp_path)
    assert path.read_text() == content


def test_a_service_token_names_its_service_and_ends_some_day(tmp_path: Path) -> None:
    credentials = Credentials.load_or_create(tmp_path)
    claims = jwt.decode(
        credentials.service_token("relay"), credentials.api_jwt_secret, algorithms=["HS256"], audience=AUDIENCE
    )
    assert (claims["sub"], claims["kind"]) == ("relay", "service")
    assert claims["exp"] > claims["iat"]


def test_the_keys_folder_is_private_and_the_rest_can_be_traversed(tmp_path: Path) -> None:
    layout = Layout(home=tmp_path / "home", shared_home=tmp_path / "shared")
    layout.create()
    layout.create()
    assert layout.keys.stat().st_mode & 0o777 == 0o700
    assert layout.workers.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("messages: [", "while parsing"),
        ("just text", "Scenario"),
        ("name: x\nmessages: []", "messages"),
        ("name: x\nmessages: [{text: hi}]\nspeed: 3", "speed"),
        ("name: x\nmessages: [{text: hi, checks: [{name: a, status: many}]}]", "status"),
    ],
)
def test_a_scenario_file_with_a_mistake_is_named_with_the_mistake(tmp_path: Path, content: str, named: str) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(content)
    with pytest.raises(Precondition, match=named) as refused:
        load_scenario(path)
    assert str(path) in refused.value.what


def test_a_scenario_that_is_missing_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(Precondition, match=r"missing\.yaml"):
        load_scenario(tmp_path / "missing.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(Precondition, match=r"binary\.yaml"):
        load_scenario(binary)


def test_the_bundled_scenario_and_its_answers_are_there() -> None:
    scenario, script = load_scenario(bundled_scenario())
    assert len(scenario.messages) == 2
    assert script is not None
    assert script.is_file()


def test_a_report_is_written_whole_and_reads_back(tmp_path: Path) -> None:
    report = Report(url="http://127.0.0.1:8100/")
    report.check("it answers", True, "GET / → 200")
    report.write(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["checks"] == [
        {"name": "it answers", "ok": True, "detail": "GET / → 200"}
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
