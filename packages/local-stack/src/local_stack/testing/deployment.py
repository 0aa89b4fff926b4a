"""The containers of a compose stack, as the engine knows them; for tests against a stack that runs already."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMPOSE_LABEL = "com.docker.compose"
COMMAND_SECONDS = 120
CONTROL_SECONDS = 300
SAID_TRIES = 3
_SECRET_WORDS = ("PASSWORD", "SECRET", "TOKEN", "KEY")


def docker(*arguments: str) -> str:
    """Run a docker command and return what it prints; a failure is an assertion."""
    command = ["docker", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def read_settings(file: Path) -> dict[str, str]:
    """Return what a file of NAME=value lines sets."""
    pairs = (line.partition("=") for line in file.read_text().splitlines() if not line.startswith("#"))
    return {name: value.strip("'") for name, equals, value in pairs if equals}


def control(root: Path, env: Path, script: str, *arguments: str) -> str:
    """Run one of a checkout's scripts/docker for a stack and return what it prints; a failure is an assertion."""
    setting = f"CODEGEN_ENV={env.relative_to(root)}"
    command = ["env", setting, str(root / "scripts" / "docker" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CONTROL_SECONDS)
    assert done.returncode == 0, f"{script} {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Deployment:
    """One compose project on this host, with the settings of its .env."""

    env: Path
    settings: dict[str, str] = field(repr=False)

    @classmethod
    def of(cls, env: Path) -> Deployment:
        """Read the project's settings file."""
        return cls(env, read_settings(env))

    @property
    def project(self) -> str:
        return self.settings["COMPOSE_PROJECT_NAME"]

    @property
    def telegram_url(self) -> str:
        return f"http://127.0.0.1:{self.settings['TELEGRAM_PORT']}"

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.settings['API_PORT']}"

    def told(self, service: str) -> dict[str, str]:
        """Return the settings that are mounted into a service's container."""
        return read_settings(self.env.parent / "secrets" / f"{service}.env")

    @property
    def secrets(self) -> dict[str, str]:
        """Return the secrets of .env by name."""
        return {
            name: value
            for name, value in self.settings.items()
            if value and any(word in name for word in _SECRET_WORDS) and not name.endswith("_FILE")
        }

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return what the engine knows of every container, by its service's name."""
        ids = docker("ps", "--all", "--quiet", "--filter", f"label={COMPOSE_LABEL}.project={self.project}").split()
        assert ids, f"there are no containers of {self.project}"
        return {entry["Config"]["Labels"][f"{COMPOSE_LABEL}.service"]: entry for entry in json.loads(_inspect(ids))}

    def container(self, service: str) -> dict[str, Any]:
        return self.containers()[service]

    def run_in(self, service: str, *command: str) -> str:
        """Run a command in a service's container and return what it prints."""
        return docker("exec", self.container(service)["Id"], *command)

    def said_in(self, service: str, *command: str) -> str:
        """Return what a command prints that never ends without a word.

        A busy engine loses what a command printed that has ended; one that printed nothing is run again.
        """
        for _ in range(SAID_TRIES):
            said = self.run_in(service, *command)
            if said:
                return said
        raise AssertionError(f"{service}: {' '.join(command)} printed nothing, {SAID_TRIES} times")


def _inspect(ids: list[str]) -> str:
    return docker("inspect", *ids)
