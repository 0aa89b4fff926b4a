"""What infra-service is told from outside, and which part of it Ansible may see."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pydantic import Field, SecretStr

from shared.runtime.settings import ServiceSettings

_PASSED = ("LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK")


class InfraSettings(ServiceSettings):
    server_dir: Path | None = Field(default=None, description="folder of the embedded server")
    server_port: int = Field(default=8090, description="where a server's receiver listens")
    server_bind: str = Field(default="127.0.0.1", description="address the receiver and the applications listen at")
    deploy_token: SecretStr
    remote_server_dir: Path = Path("/srv/codegen")
    ssh_user: str = "root"
    ssh_private_key_file: Path | None = None
    ssh_public_key_file: Path | None = Field(default=None, description="written to the deploy user's authorized_keys")
    ssh_known_hosts_file: Path | None = Field(default=None, description="default: a new host's key is accepted once")
    play_seconds: float = 900.0


def ansible_environment() -> dict[str, str]:
    """Return what Ansible may see: the tools of this environment first, no secret of the service."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {"LC_ALL": "C.UTF-8", **passed, "PATH": path}
