"""What the scaffolder is told from outside, and which part of it child processes may see."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, FilePath

from scaffolder.rendering import Template
from shared.runtime.settings import ServiceSettings

BUNDLED_TEMPLATE = Path(__file__).resolve().parent / "template"
_PASSED = ("PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "https_proxy", "HTTPS_PROXY", "no_proxy")


class ScaffolderSettings(ServiceSettings):
    github_api_url: str = "https://api.github.com"
    github_web_url: str = Field(default="https://github.com", description="clone addresses must lie below it")
    github_app_id: str
    github_app_private_key_file: FilePath
    github_owner: str
    service_template: str = Field(default="", description="a copier template: folder or git address; empty = bundled")
    service_template_ref: str = Field(default="", description="tag or commit of a template in git")

    @property
    def template(self) -> Template:
        """Return the template to render; the bundled one has no address worth telling."""
        if not self.service_template:
            return Template(str(BUNDLED_TEMPLATE))
        return Template(self.service_template, self.service_template_ref or None, self.service_template)


def child_environment() -> dict[str, str]:
    """Return what every child process may see: tools and certificates, no secret, no configuration of the user."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {
        "PATH": os.defpath,
        **passed,
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }
