"""A service whose settings will not do says which ones, one line each, and ends with 2 before it touches anything."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

import pytest

from shared.runtime.settings import find_repository
from shared.testing.settings import inherited_environment

pytestmark = pytest.mark.service
WAY_OUT = "set it in the environment (docs/DEPLOY.md lists the settings)"
# What each program lacks when its environment is empty; those that need nothing are given something wrong.
LACKING: Mapping[str, tuple[str, ...]] = {
    "orchestrator_api": ("API_JWT_SECRET", "DATABASE_URL"),
    "orchestrator_api.relay": ("DATABASE_URL",),
    "orchestrator_api.migrate": ("DATABASE_URL",),
    "infra_service": ("DEPLOY_TOKEN",),
    "agent_graphs": (
        "ATTEMPT_SECRET",
        "CHECKPOINT_DATABASE_URL",
        "DEPLOY_TOKEN",
        "GITHUB_APP_ID",
        "GITHUB_APP_PRIVATE_KEY_FILE",
    ),
    "scaffolder": ("GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY_FILE", "GITHUB_OWNER"),
    "telegram_bot": ("TELEGRAM_BOT_TOKEN",),
}
NEEDING_NOTHING = ("orchestrator_scheduler", "worker_manager")


async def start(module: str, **environment: str) -> tuple[int | None, list[str]]:
    """Run a program to its end; return its exit code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        env={**inherited_environment(), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode().splitlines()


def test_every_service_is_started_below() -> None:
    found = {path.parent.name for path in (find_repository() / "services").glob("*/src/*/__main__.py")}
    assert found == {module.partition(".")[0] for module in (*LACKING, *NEEDING_NOTHING)}


@pytest.mark.parametrize("module", LACKING)
async def test_missing_settings_are_named_one_a_line(module: str) -> None:
    code, lines = await start(module)
    assert code == 2, lines
    assert sorted(line.split(" ")[1] for line in lines) == list(LACKING[module])
    assert all(" is not set" in line and line.endswith(WAY_OUT) for line in lines)


@pytest.mark.parametrize("module", [*NEEDING_NOTHING, "telegram_bot"])
async def test_a_wrong_setting_is_named_without_its_value(module: str) -> None:
    code, lines = await start(module, DRAIN_SECONDS="soon-enough", TELEGRAM_BOT_TOKEN="1:x")
    assert code == 2, lines
    [line] = lines
    assert "DRAIN_SECONDS is wrong: Input should be a valid number" in line
    assert line.endswith(WAY_OUT)
    assert "soon-enough" not in line


async def test_a_key_file_that_is_not_there_is_named() -> None:
    code, [line] = await start(
        "scaffolder", GITHUB_APP_ID="1", GITHUB_OWNER="acme", GITHUB_APP_PRIVATE_KEY_FILE="/no/such.pem"
    )
    assert code == 2
    assert "GITHUB_APP_PRIVATE_KEY_FILE is wrong: Path does not point to a file" in line


async def test_a_list_that_is_no_json_is_named() -> None:
    code, lines = await start("worker_manager", WORKER_COMMAND="python")
    assert (code, lines) == (2, [f"worker-manager: WORKER_COMMAND is wrong: it must be JSON; {WAY_OUT}"])


async def test_a_worker_without_its_name_says_so() -> None:
    assert await start("worker_wrapper") == (2, ["worker-wrapper: WORKER_ID is not set"])
