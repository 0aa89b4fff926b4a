"""`make env` and what `make up` makes of it: one private file in, one settings file per container out."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parent.parent.parent.parent
SCRIPT = ROOT / "scripts" / "docker" / "env.py"


def _env(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script for a settings file of its own, where no Docker engine can be asked."""
    environment = {"CODEGEN_ENV": str(file), "PATH": "/nonexistent"}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def _set(file: Path, name: str, value: str) -> None:
    lines = [line for line in file.read_text().splitlines() if not line.startswith(f"{name}=")]
    file.write_text("\n".join([*lines, f"{name}={value}", ""]))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    file = tmp_path / "stack" / "env"
    assert _env(file).returncode == 0
    return file


def test_the_file_is_private_and_stays_as_it_is(made: Path) -> None:
    before = made.read_text()
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert _env(made).returncode == 0
    assert made.read_text() == before


def test_two_files_share_no_secret(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "env"
    _env(other)
    secrets = [
        {line for line in file.read_text().splitlines() if "PASSWORD=" in line or "SECRET=" in line}
        for file in (made, other)
    ]
    assert len(secrets[0]) == 5
    assert not secrets[0] & secrets[1]


@pytest.mark.parametrize("value", ["changeme", "change-me-please", "<your key>", "your-token", "TODO", "xxxx"])
def test_a_placeholder_is_refused_by_name(made: Path, value: str) -> None:
    _set(made, "ANTHROPIC_API_KEY", value)
    done = _env(made, "render", "emulators")
    assert done.returncode == 3
    assert "ANTHROPIC_API_KEY in .env is a placeholder" in done.stderr


def test_a_file_others_can_read_is_refused_with_the_way_out(made: Path) -> None:
    made.chmod(0o644)
    done = _env(made, "render", "emulators")
    assert (done.returncode, "chmod 600" in done.stderr) == (3, True)


def test_a_missing_account_is_named_unless_it_is_emulated(made: Path) -> None:
    done = _env(made, "render")
    assert (done.returncode, "TELEGRAM_BOT_TOKEN" in done.stderr) == (3, True)
    assert _env(made, "render", "emulators").returncode == 0


def test_half_an_account_is_refused_even_beside_emulators(made: Path) -> None:
    _set(made, "GITHUB_APP_ID", "12345")
    done = _env(made, "render", "emulators")
    assert (done.returncode, "GITHUB_OWNER" in done.stderr) == (3, True)


def test_a_container_is_told_only_what_it_needs(made: Path) -> None:
    assert _env(made, "render", "emulators").returncode == 0
    folder = made.parent / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    told = {path.stem: path.read_text() for path in folder.glob("*.env")}
    assert {name for name, text in told.items() if "API_JWT_SECRET" in text} == {"api"}
    assert {name for name, text in told.items() if "/orchestrator" in text} == {"api", "migrate", "relay", "langgraph"}
    assert {name for name, text in told.items() if "DEPLOY_TOKEN" in text} == {"langgraph", "infra-service"}


def test_what_workers_could_read_belongs_to_root_alone(made: Path) -> None:
    assert _env(made, "render", "emulators").returncode == 0
    assert stat.S_IMODE((made.parent / "secrets" / "worker-manager.env").stat().st_mode) == 0o400
