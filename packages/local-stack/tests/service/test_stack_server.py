"""The embedded server follows the ports of the start."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.credentials import Credentials
from local_stack.layout import Layout
from local_stack.plan import StackPlan, server_config
from local_stack.ports import claimed_ports
from local_stack.server import SERVER_HANDLE, forget_other_port, register_server
from local_stack.settings import StackSettings
from shared.contracts.dto.infrastructure import ServerUpdate
from shared.contracts.vocabulary import ServerStatus
from shared.testing import FakeApi

pytestmark = pytest.mark.service


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[StackPlan]:
    layout = Layout(home=tmp_path, shared_home=tmp_path)
    layout.create()
    server_config(layout).parent.mkdir(parents=True)
    with claimed_ports(tmp_path / "ports.json") as ports:
        yield StackPlan(
            settings=StackSettings(codegen_home=tmp_path),
            layout=layout,
            ports=ports,
            credentials=Credentials.load_or_create(layout.keys),
            github_private_key=tmp_path,
            github_public_key=tmp_path,
        )


@pytest.mark.parametrize("content", ['{"port": 1}', "{broken", "[]", "{}"])
def test_a_file_that_names_another_port_or_none_is_removed(plan: StackPlan, content: str) -> None:
    server_config(plan.layout).write_text(content)
    forget_other_port(plan.layout, plan.ports.server)
    assert not server_config(plan.layout).exists()


def test_a_file_that_names_the_port_stays_and_a_missing_one_is_fine(plan: StackPlan) -> None:
    forget_other_port(plan.layout, plan.ports.server)
    server_config(plan.layout).write_text(f'{{"port": {plan.ports.server}}}')
    forget_other_port(plan.layout, plan.ports.server)
    assert server_config(plan.layout).exists()


async def test_a_server_is_registered_once_and_left_alone_while_it_fits(plan: StackPlan) -> None:
    api = FakeApi()
    await register_server(api, plan)
    await api.update_server(SERVER_HANDLE, ServerUpdate(status=ServerStatus.ACTIVE))
    server_config(plan.layout).write_text(f'{{"port": {plan.ports.server}}}')
    await register_server(api, plan)
    [row] = await api.list_servers()
    assert row.status is ServerStatus.ACTIVE


async def test_another_port_asks_for_a_new_preparation_at_the_new_address(plan: StackPlan) -> None:
    api = FakeApi()
    await register_server(api, plan)
    await api.update_server(SERVER_HANDLE, ServerUpdate(status=ServerStatus.ACTIVE))
    moved = dataclasses.replace(plan, ports=dataclasses.replace(plan.ports, server=plan.ports.server + 1))
    await register_server(api, moved)
    row = await api.get_server(SERVER_HANDLE)
    assert (row.status, row.deploy_url) == (ServerStatus.PENDING_SETUP, moved.url(moved.ports.server))


async def test_a_server_whose_folder_was_wiped_is_prepared_again(plan: StackPlan) -> None:
    api = FakeApi()
    await register_server(api, plan)
    await api.update_server(SERVER_HANDLE, ServerUpdate(status=ServerStatus.ACTIVE))
    await register_server(api, plan)
    assert (await api.get_server(SERVER_HANDLE)).status is ServerStatus.PENDING_SETUP
