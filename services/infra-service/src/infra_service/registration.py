"""`python -m infra_service.registration`: makes the embedded server known to the api. Repeatable; prepares nothing."""

from __future__ import annotations

import asyncio
import re
import sys

from pydantic import Field

from shared.clients.api import ApiClient
from shared.clients.api_port import Api
from shared.contracts.dto.infrastructure import ServerCreate, ServerDTO, ServerUpdate
from shared.logging import get_logger, setup_logging
from shared.runtime.errors import PlatformError
from shared.runtime.settings import ServiceSettings

log = get_logger(__name__)


class RegistrationSettings(ServiceSettings):
    server_handle: str = "local"
    server_host: str = Field(description="where people reach the applications")
    server_deploy_url: str = Field(description="where the server takes releases")
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


async def register(api: Api, wanted: ServerCreate) -> ServerDTO:
    """Create the server, or bring the addresses of the row that exists up to date."""
    server = await api.create_server(wanted)
    if (server.host, server.deploy_url) == (wanted.host, wanted.deploy_url):
        return server
    return await api.update_server(server.handle, ServerUpdate(host=wanted.host, deploy_url=wanted.deploy_url))


async def _run(settings: RegistrationSettings) -> None:
    api = ApiClient(settings.api_url, settings.api_token.get_secret_value())
    try:
        server = await register(api, settings.row)
    finally:
        await api.aclose()
    log.info("server registered", server=server.handle, host=server.host, status=server.status)


def main() -> int:
    settings = RegistrationSettings()
    setup_logging("registration", settings.log_level, settings.log_format)
    try:
        asyncio.run(_run(settings))
    except PlatformError as error:
        log.error("the server could not be registered", error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
