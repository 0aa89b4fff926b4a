"""Prepares one server: the embedded one in its folder, any other over ssh with three tries."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from infra_service.errors import NotConfigured
from infra_service.plays import Play, PlayOutcome, Plays
from infra_service.settings import InfraSettings
from shared.contracts.dto.infrastructure import ServerDTO
from shared.infra import Clock
from shared.logging import get_logger

log = get_logger(__name__)
DEPLOY_USER = "deploy"
UNREACHABLE_PAUSES_SECONDS = (5.0, 15.0)
# An address that begins with a hyphen would be an option of ssh.
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]*\Z")
_SSH_OPTIONS = "-o ControlMaster=auto -o ControlPersist=10s -o IdentitiesOnly=yes -o ConnectTimeout=10"


@dataclass(frozen=True, slots=True)
class Keys:
    """Files of the key pair servers are reached with."""

    private: Path
    public: Path


class Provisioner:
    """Turns a server's row into a play."""

    def __init__(
        self,
        plays: Plays,
        settings: InfraSettings,
        clock: Clock,
        pauses_seconds: Sequence[float] = UNREACHABLE_PAUSES_SECONDS,
    ) -> None:
        self._plays = plays
        self._pauses_seconds = pauses_seconds
        self._settings = settings
        self._clock = clock

    async def provision(self, server: ServerDTO) -> PlayOutcome:
        """Prepare the server; a host that cannot be reached is tried three times. Raises InfraError leaves."""
        play = self._embedded(server) if server.is_embedded else self._remote(server)
        outcome = await self._plays.run(play)
        for pause in self._pauses_seconds:
            if not outcome.is_unreachable:
                break
            log.warning("server not reached", server=server.handle, again_in_seconds=pause)
            await self._clock.sleep(pause)
            outcome = await self._plays.run(play)
        return outcome

    def _embedded(self, server: ServerDTO) -> Play:
        folder = self._settings.server_dir
        if folder is None:
            raise NotConfigured(f"{server.handle} is the embedded server, but SERVER_DIR is not set")
        connection: dict[str, JsonValue] = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
        }
        return Play(connection, self._variables(server, folder.resolve()), tags=("embedded",))

    def _remote(self, server: ServerDTO) -> Play:
        if not _HOST.match(server.host):
            raise NotConfigured(f"{server.handle} has no proper address: {server.host!r}")
        keys = self._keys(server)
        options = _SSH_OPTIONS
        known_hosts = self._settings.ssh_known_hosts_file
        if known_hosts is None:
            options += " -o StrictHostKeyChecking=accept-new"
        else:
            options += f" -o StrictHostKeyChecking=yes -o UserKnownHostsFile={known_hosts}"
        connection: dict[str, JsonValue] = {
            "ansible_connection": "ssh",
            "ansible_host": server.host,
            "ansible_user": self._settings.ssh_user,
            "ansible_become": self._settings.ssh_user != "root",
            "ansible_ssh_private_key_file": str(keys.private),
            "ansible_ssh_common_args": options,
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        variables = self._variables(server, self._settings.remote_server_dir)
        variables["public_key"] = keys.public.read_text(encoding="utf-8").strip()
        return Play(connection, variables)

    def _keys(self, server: ServerDTO) -> Keys:
        private, public = self._settings.ssh_private_key_file, self._settings.ssh_public_key_file
        if private is None or public is None:
            missing = "SSH_PRIVATE_KEY_FILE and SSH_PUBLIC_KEY_FILE"
            raise NotConfigured(f"{server.handle} is reached over ssh: set {missing}")
        return Keys(private, public)

    def _variables(self, server: ServerDTO, folder: Path) -> dict[str, JsonValue]:
        # The daemon compares hashes, so the token itself is not written anywhere.
        token = self._settings.deploy_token.get_secret_value()
        return {
            "is_embedded": server.is_embedded,
            "server_dir": str(folder),
            "deploy_user": DEPLOY_USER,
            "port_range_start": server.port_range_start,
            "port_range_end": server.port_range_end,
            "appd_config": {
                "host": self._settings.server_bind,
                "port": self._settings.server_port,
                "token_sha256": hashlib.sha256(token.encode()).hexdigest(),
            },
        }
