"""Which processes a stack has, which are emulated, and that no command line carries a secret."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from local_stack.credentials import Credentials
from local_stack.layout import Layout
from local_stack.plan import StackPlan, application_ports, emulator_specs, migrate_command, server_spec, service_specs
from local_stack.ports import Ports
from local_stack.settings import StackSettings
from local_stack.sweep import STACK_MARK

HOME = Path("/somewhere/stack")
SERVICES = {
    "api",
    "relay",
    "worker-manager",
    "langgraph",
    "scaffolder",
    "scheduler",
    "infra-service",
    "telegram-bot",
}


def _plan(**settings: object) -> StackPlan:
    names = [field.name for field in dataclasses.fields(Ports)]
    return StackPlan(
        settings=StackSettings.model_validate({"codegen_home": HOME, **settings}),
        layout=Layout(home=HOME, shared_home=Path("/somewhere/shared")),
        ports=Ports(**{name: 20_000 + number for number, name in enumerate(names)}),
        credentials=Credentials.generate(),
        github_private_key=HOME / "keys/github-app.pem",
        github_public_key=HOME / "keys/github-app.pub.pem",
        scripts=(Path("answers.yaml"),),
    )


@pytest.fixture(autouse=True)
def _no_credentials_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "TELEGRAM_BOT_TOKEN", "GITHUB_APP_ID", "TELEGRAM_ALLOWED_USERS"):
        monkeypatch.delenv(name, raising=False)


def test_every_service_is_a_process_of_its_own_started_as_in_its_image() -> None:
    specs = {spec.name: spec for spec in service_specs(_plan())}
    assert set(specs) == SERVICES
    assert all(spec.command[1] == "-m" and len(spec.command) == 3 for spec in specs.values())
    assert specs["relay"].command[2] == "orchestrator_api.relay"
    assert len({spec.port for spec in specs.values()}) == len(specs)
    assert all(spec.ready_url == f"http://127.0.0.1:{spec.port}/readyz" for spec in specs.values())


def test_every_child_carries_the_mark_by_which_a_sweep_finds_it() -> None:
    plan = _plan()
    specs = [*service_specs(plan), *emulator_specs(plan), server_spec(plan)]
    assert {spec.env[STACK_MARK] for spec in specs} == {str(HOME)}
    assert migrate_command(plan)[1][STACK_MARK] == str(HOME)


def test_only_the_api_knows_the_jwt_secret_and_only_api_and_relay_the_database() -> None:
    specs = {spec.name: spec.env for spec in service_specs(_plan())}
    assert {name for name, env in specs.items() if "API_JWT_SECRET" in env} == {"api"}
    assert {name for name, env in specs.items() if "DATABASE_URL" in env} == {"api", "relay"}
    assert len({env["API_TOKEN"] for env in specs.values()}) == len(specs)


def test_no_password_of_a_store_or_service_stands_on_a_command_line() -> None:
    plan = _plan()
    words = [word for spec in [*service_specs(plan), server_spec(plan)] for word in spec.command]
    secrets = dataclasses.asdict(plan.credentials)
    assert not [name for name, value in secrets.items() if any(value in word for word in words)]


def test_without_credentials_three_emulators_stand_in() -> None:
    specs = {spec.name: spec for spec in emulator_specs(_plan())}
    assert set(specs) == {"emulator-anthropic", "emulator-telegram", "emulator-github"}
    assert "answers.yaml" in specs["emulator-anthropic"].command


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"anthropic_api_key": "sk-test"}, {"emulator-telegram", "emulator-github"}),
        ({"telegram_bot_token": "1:token"}, {"emulator-anthropic", "emulator-github"}),
        ({"github_app_id": "12"}, {"emulator-anthropic", "emulator-telegram"}),
    ],
)
def test_a_credential_replaces_exactly_its_emulator(settings: dict[str, object], left: set[str]) -> None:
    assert {spec.name for spec in emulator_specs(_plan(**settings))} == left


def test_a_real_key_reaches_the_workers_without_the_emulator_address() -> None:
    environment = _plan(anthropic_api_key="sk-test").worker_env()
    assert environment["ANTHROPIC_API_KEY"] == "sk-test"
    assert "ANTHROPIC_BASE_URL" not in environment


def test_a_worker_finds_only_its_own_tools_and_the_system() -> None:
    first, *rest = _plan().worker_env()["WORKER_PATH"].split(":")
    assert first == "/somewhere/shared/worker-bin"
    assert set(rest) <= {"/usr/local/bin", "/usr/bin", "/bin"}


def test_applications_have_a_range_of_ports_of_their_own() -> None:
    plan = _plan()
    start, end = application_ports(plan)
    assert (start, end - start) == (plan.ports.applications, 99)
