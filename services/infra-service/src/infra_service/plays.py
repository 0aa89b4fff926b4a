"""Runs the playbook against one server: a private folder that is deleted, variables as data, a deadline."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from infra_service.archive import appd_program
from infra_service.errors import PlayCrashed, PlayTimeout

PLAYBOOKS = Path(__file__).resolve().parent / "playbooks"
_CANCEL_SECONDS = 10.0
_TEXT_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Play:
    """One run: how the host is reached, which tags, which variables."""

    connection: Mapping[str, JsonValue]
    variables: Mapping[str, JsonValue]
    tags: tuple[str, ...] = ()


class PlayOutcome(BaseModel):
    """`changed` and `failures` name tasks; a failure carries its message."""

    model_config = ConfigDict(frozen=True)

    status: str
    changed: list[str] = []
    failures: list[str] = []
    is_unreachable: bool = False

    @property
    def is_successful(self) -> bool:
        return self.status == "successful"


class Plays(Protocol):
    async def run(self, play: Play) -> PlayOutcome:
        """Run the playbook; raises PlayCrashed, PlayTimeout."""
        ...


class AnsiblePlays:
    """Ansible in a child process with an environment of its own."""

    def __init__(self, environment: Mapping[str, str], seconds: float) -> None:
        self._environment = environment
        self._seconds = seconds

    async def run(self, play: Play) -> PlayOutcome:
        private = Path(tempfile.mkdtemp(prefix="play-"))
        try:
            request = await asyncio.to_thread(self._prepare, private, play)
            return await self._run(request, private)
        finally:
            await asyncio.to_thread(shutil.rmtree, private, ignore_errors=True)

    def _prepare(self, private: Path, play: Play) -> dict[str, JsonValue]:
        shutil.copytree(PLAYBOOKS, private / "project")
        variables, configuration = private / "variables.yml", private / "ansible.cfg"
        program = base64.b64encode(appd_program()).decode()
        values = {**play.connection, **play.variables, "appd_program": program}
        variables.write_text(as_data(values), encoding="utf-8")
        configuration.write_text("", encoding="utf-8")
        (private / "home").mkdir()
        environment: dict[str, JsonValue] = {
            **self._environment,
            "HOME": str(private / "home"),
            "ANSIBLE_CONFIG": str(configuration),
            "ANSIBLE_HOME": str(private / "home"),
            "ANSIBLE_LOCAL_TEMP": str(private / "home"),
            "ANSIBLE_PIPELINING": "True",
            "ANSIBLE_RETRY_FILES_ENABLED": "False",
            "ANSIBLE_NOCOWS": "1",
            # The socket's path has to stay below a hundred characters.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(private / "c"),
        }
        tags = ["--tags", ",".join(play.tags)] if play.tags else []
        return {
            "private_data_dir": str(private),
            "inventory": {"all": {"hosts": {"server": {}}}},
            "environment": environment,
            "command_line": " ".join(["-e", f"@{variables}", *tags]),
            "seconds": int(self._seconds),
        }

    async def _run(self, request: Mapping[str, JsonValue], private: Path) -> PlayOutcome:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "infra_service.play_process",
            cwd=private,
            env={**self._environment, "HOME": str(private / "home")},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(self._seconds + _CANCEL_SECONDS):
                out, err = await process.communicate(json.dumps(request).encode())
        except TimeoutError as error:
            raise PlayTimeout(f"preparing the server took more than {self._seconds:.0f} s") from error
        finally:
            await _end(process)
        try:
            outcome = PlayOutcome.model_validate_json(out)
        except ValidationError as error:
            raise PlayCrashed(f"ansible ended with {process.returncode}: {err.decode()[-_TEXT_CHARS:]}") from error
        if outcome.status == "timeout":
            raise PlayTimeout(f"preparing the server took more than {self._seconds:.0f} s")
        return outcome


async def _end(process: asyncio.subprocess.Process) -> None:
    """Cancel the play and wait for it; the runner ends Ansible itself."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_CANCEL_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def as_data(variables: Mapping[str, JsonValue]) -> str:
    """Return YAML in which every text is marked as data: braces in it are never evaluated."""
    return "".join(f"{json.dumps(name)}: {_data(value)}\n" for name, value in variables.items())


def _data(value: JsonValue) -> str:
    if isinstance(value, str):
        return f"!unsafe {json.dumps(value)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {_data(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_data(inner) for inner in value) + "]"
    return json.dumps(value)
