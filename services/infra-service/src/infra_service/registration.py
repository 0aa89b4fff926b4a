"""`python -m infra_service.registration`: makes the embedded server known to the api. Repeatable; prepares nothing.

A server whose folder is empty, or holds the program of another release, is asked to be prepared again.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from pydantic import Field

from infra_service.archive import appd_program
from shared.clients.api import ApiClient
from shared.clients.api_port import Api
from shared.contracts.dto.infrastructure import ServerCreate, ServerDTO, ServerUpdate
from shared.contracts.vocabulary import ServerStatus
from shared.logging import get_logger, setup_logging
from shared.runtime.errors import PlatformError
from shared.runtime.settings import ServiceSettings, settings_or_exit

log = get_logger(__name__)


class RegistrationSettings(ServiceSettings):
    server_handle: str = "local"
    server_host: str = Field(description="where people reach the applications")
    server_deploy_url: str = Field(description="where the server takes releases")
    server_dir: Path | None = Field(default=None, description="the server's folder, where it can be looked into")
    application_ports: str = Field(default="8100-8199", pattern=r"^\d+-\d+$")

    @property
    def row(self) -> ServerCreate:
        start, end = re.split("-", self.application_ports)
        return ServerCreate(
            handle=self.server_handle,
            host=self.server_host,
            is_embedded=True,
            deploy_url=self.server_deploy_url,
            port_range_start=int(start),
            port_range_end=int(end),
        )


def is_prepared(folder: Path) -> bool:
    """Tell whether a server's folder holds this release's program and a configuration."""
    try:
        return (folder / "bin/appd").read_bytes() == appd_program() and (folder / "etc/appd.json").exists()
    except FileNotFoundError:
        return False


async def register(api: Api, wanted: ServerCreate, folder: Path | None = None) -> ServerDTO:
    """Create the server, or bring the row that exists up to date: its addresses, and whether it has to be prepared."""
    server = await api.create_server(wanted)
    change = ServerUpdate()
    if (server.host, server.deploy_url) != (wanted.host, wanted.deploy_url):
        change = ServerUpdate(host=wanted.host, deploy_url=wanted.deploy_url)
    if server.status is not ServerStatus.PENDING_SETUP and folder is not None and not is_prepared(folder):
        change = change.model_copy(update={"status": ServerStatus.PENDING_SETUP})
    if change == ServerUpdate():
        return server
    return await api.update_server(server.handle, change)


async def _run(settings: RegistrationSettings) -> None:
    api = ApiClient(settings.api_url, settings.api_token.get_secret_value())
    try:
        server = await register(api, settings.row, settings.server_dir)
    finally:
        await api.aclose()
    log.info("server registered", server=server.handle, host=server.host, status=server.status)


def main() -> int:
    settings = settings_or_exit("registration", RegistrationSettings)
    setup_logging("registration", settings.log_level, settings.log_format)
    try:
        asyncio.run(_run(settings))
    except PlatformError as error:
        log.error("the server could not be registered", error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
