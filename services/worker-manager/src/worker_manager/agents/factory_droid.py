"""Factory Droid: one native binary, taken from its platform package, else from the vendor's installer."""

from __future__ import annotations

from collections.abc import Mapping

from shared.contracts.vocabulary import AgentType
from worker_manager.agents.base import INSTALL_DIR, WORKSPACE_DIR, check_integrity

_PACKAGE = "@factory/cli-linux-x64"
_INTEGRITY = "sha512-e2dUrVvT3mSKrvJTpYtJk6fM6tf51nXh+bjS5rbC9FaZhWNCTV7q3UpZpopzsGYPSJL/dBEG+qhevzGPWL0ZjQ=="
_INSTALLER = "curl -fsSL https://app.factory.ai/cli | sh"


class FactoryDroidAgent:
    agent_type = AgentType.FACTORY
    version = "0.215.0"
    binary: str | None = "droid"
    api_key_variable: str | None = "FACTORY_API_KEY"

    def get_install_commands(self) -> list[str]:
        packaged = f"{INSTALL_DIR}/node_modules/{_PACKAGE}/bin/droid"
        return [
            f"npm install --ignore-scripts --prefix {INSTALL_DIR} {_PACKAGE}@{self.version} || {_INSTALLER}",
            f"test ! -x {packaged} || {check_integrity(_INTEGRITY)}",
            f'install -D -m 0755 "$(test -x {packaged} && echo {packaged} || echo $HOME/.local/bin/droid)"'
            f" {INSTALL_DIR}/bin/droid",
        ]

    def get_instruction_path(self) -> str:
        return f"{WORKSPACE_DIR}/AGENTS.md"

    def get_agent_command(self) -> str:
        return "droid exec -o json --skip-permissions-unsafe"

    def environment(self) -> Mapping[str, str]:
        # Air-gap mode also stops the upload of whole conversations to the vendor.
        return {"FACTORY_AIRGAP_ENABLED": "true", "FACTORY_DROID_AUTO_UPDATE_ENABLED": "false"}
