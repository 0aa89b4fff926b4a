"""Keeps the embedded server's row and its daemon's file in step with the ports of this start."""

from __future__ import annotations

import json
from contextlib import suppress

from local_stack.layout import Layout
from local_stack.plan import HOST, StackPlan, application_ports, server_config
from shared.clients.api_port import Api
from shared.contracts.dto.infrastructure import ServerCreate, ServerUpdate
from shared.contracts.vocabulary import ServerStatus

SERVER_HANDLE = "embedded"


def forget_other_port(layout: Layout, port: int) -> None:
    """Remove a daemon's file that names another port, or nothing: infra-service writes it anew."""
    path = server_config(layout)
    with suppress(FileNotFoundError):
        try:
            known = json.loads(path.read_text())["port"]
        except (ValueError, KeyError, TypeError):
            known = None
        if known != port:
            path.unlink()


async def register_server(api: Api, plan: StackPlan) -> None:
    """Make the server's row once; ask for its preparation when its address is another or its file is gone."""
    start, end = application_ports(plan)
    url = plan.url(plan.ports.server)
    is_prepared = server_config(plan.layout).exists()
    row = await api.create_server(
        ServerCreate(
            handle=SERVER_HANDLE,
            host=HOST,
            is_embedded=True,
            deploy_url=url,
            port_range_start=start,
            port_range_end=end,
        )
    )
    if row.deploy_url != url or (row.status is ServerStatus.ACTIVE and not is_prepared):
        await api.update_server(SERVER_HANDLE, ServerUpdate(status=ServerStatus.PENDING_SETUP, deploy_url=url))
