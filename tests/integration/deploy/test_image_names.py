"""What the images of a checkout are called: set, or the plain name where nobody else has it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parent.parent.parent.parent
# Stands in for the engine's client: a volume that belongs to the checkout named in OWNER.
CLIENT = '#!/bin/sh\nif [ "$1 $2" = "volume inspect" ]; then echo "$OWNER"; fi\n'


def _prefix(folder: Path, owner: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    client = folder / "bin" / "docker"
    client.parent.mkdir(exist_ok=True)
    client.write_text(CLIENT)
    client.chmod(0o755)
    given = {"PATH": f"{client.parent}:{os.environ['PATH']}", "CODEGEN_ENV": str(folder / "env"), "OWNER": owner}
    command = [str(ROOT / "scripts" / "docker" / "prefix.sh")]
    return subprocess.run(command, env=given | environment, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize("owner", ["", str(ROOT)], ids=["no engine", "this checkout"])
def test_the_plain_name_is_used_where_nobody_else_has_it(tmp_path: Path, owner: str) -> None:
    assert _prefix(tmp_path, owner).stdout == "codegen\n"


def test_a_second_checkout_has_the_same_other_name_each_time(tmp_path: Path) -> None:
    first, second = _prefix(tmp_path, "/srv/other").stdout, _prefix(tmp_path, "/srv/other").stdout
    assert first == second
    assert first.startswith("codegen-")


def test_the_environment_decides_before_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("IMAGE_PREFIX=codegen-file\n")
    assert _prefix(tmp_path, "/srv/other").stdout == "codegen-file\n"
    assert _prefix(tmp_path, "/srv/other", IMAGE_PREFIX="codegen-mine").stdout == "codegen-mine\n"


@pytest.mark.parametrize("name", ["debian", "codegen/x", "Codegen", "codegen-", "codegen x"])
def test_a_name_that_is_not_ours_is_refused(tmp_path: Path, name: str) -> None:
    done = _prefix(tmp_path, IMAGE_PREFIX=name)
    assert (done.returncode, done.stdout, "IMAGE_PREFIX" in done.stderr) == (2, "", True)
