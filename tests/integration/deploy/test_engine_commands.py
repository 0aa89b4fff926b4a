"""Where the engine may not be installed, the exact commands are printed and nothing is changed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parent.parent.parent.parent
TOOLS = ("bash", "dirname", "mkdir", "timeout", "grep", "env", "sed")
INSTALL = "  sudo apt-get install -y --no-install-recommends docker.io iptables"
UNTOUCHED = "#!/bin/sh\necho called $0 $* >&2\nexit 99\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return the programs of a Debian machine without Docker, for somebody who is not root."""
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (tmp_path / tool).symlink_to(found)
    _program(tmp_path / "id", "#!/bin/sh\nif [ $1 = -u ]; then echo 1000; else echo somebody; fi\n")
    _program(tmp_path / "apt-get", UNTOUCHED)
    return tmp_path


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _run(machine: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "scripts" / "docker" / "engine.sh"), *arguments]
    given = {"PATH": str(machine), "CODEGEN_ENV": str(machine / "env"), **environment}
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=60)


def _refusal(machine: Path, **environment: str) -> str:
    done = _run(machine, **environment)
    assert done.returncode == 3, done.stderr
    assert "called" not in done.stderr
    return done.stderr


def test_who_is_not_root_gets_the_commands(machine: Path) -> None:
    said = _refusal(machine)
    assert "only root may do this" in said
    assert INSTALL in said.splitlines()


def test_who_does_not_want_an_installation_gets_the_commands(machine: Path) -> None:
    _program(machine / "id", "#!/bin/sh\necho 0\n")
    said = _refusal(machine, CODEGEN_INSTALL="no")
    assert "CODEGEN_INSTALL=no: nothing was changed" in said
    assert INSTALL in said.splitlines()


def test_another_system_is_told_which_packages(machine: Path) -> None:
    _program(machine / "id", "#!/bin/sh\necho 0\n")
    (machine / "apt-get").unlink()
    said = _refusal(machine)
    assert "neither Debian nor Ubuntu" in said
    assert "docker.io" in said


def test_an_engine_without_compose_is_completed_with_one_command(machine: Path) -> None:
    _program(machine / "docker", '#!/bin/sh\nif [ "$1" = version ]; then echo 20.10.24; else exit 1; fi\n')
    said = _refusal(machine)
    assert "there is no Docker Compose" in said
    assert "  sudo apt-get install -y --no-install-recommends docker-compose" in said.splitlines()


def test_a_check_says_what_is_missing_and_changes_nothing(machine: Path) -> None:
    done = _run(machine, "check")
    assert (done.returncode, done.stderr) == (3, "docker: no engine answers\n")
