"""The system in containers: an interrupted build or first start leaves nothing, an upgrade replaces what changed."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from local_stack.testing.deployment import Deployment, docker
from tests.lifecycle.checkout import ENV, GONE_SECONDS, Checkout, containers, label_of

SERVICE = "services/telegram-bot"


@pytest.fixture
def slow_build(checkout: Checkout) -> Iterator[None]:
    """Let the build of one image last, in containers that can be told from others."""
    file = checkout.root / SERVICE / "Dockerfile"
    before = file.read_text()
    file.write_text(before.replace("codegen.stage=build", f"codegen.stage=build cut={checkout.root}\nRUN sleep 300"))
    yield
    file.write_text(before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.usefixtures("slow_build")
async def test_an_interrupted_build_leaves_no_container_folder_or_process(
    checkout: Checkout, number: signal.Signals
) -> None:
    run = checkout.start("images")
    await run.until_busy(lambda: bool(checkout.build_containers()), "the build's container")
    run.interrupt(number)
    await run.until_all_ended()
    await run.until(lambda: not checkout.build_containers(), "the end of the build's container", GONE_SECONDS)
    if number is signal.SIGKILL:
        checkout.script("images.sh", "redis")
    assert checkout.run_folders() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_first_start_leaves_no_container_network_or_process(
    checkout: Checkout, number: signal.Signals
) -> None:
    run = checkout.start("up", "PROFILE=emulators")
    folder = str((checkout.root / ENV).parent.relative_to(checkout.root))
    await run.until_busy(
        lambda: len(containers(*map(label_of, checkout.projects(folder)))) >= 4, "the first containers"
    )
    [label] = map(label_of, checkout.projects(folder))
    run.interrupt(number)
    await run.until_all_ended()
    assert containers(label) == [], run.said()
    assert docker("network", "ls", "--quiet", "--filter", f"label={label}") == ""


def test_an_upgrade_replaces_only_what_changed(checkout: Checkout) -> None:
    checkout.make("up", "PROFILE=emulators")
    deployment = Deployment.of(checkout.root / ENV)
    before = {name: entry["Id"] for name, entry in deployment.containers().items()}
    module = checkout.root / SERVICE / "src/telegram_bot/__init__.py"
    module.write_text(module.read_text() + "\n# Another release.\n")
    said = checkout.make("upgrade", "PROFILE=emulators")
    after = {name: entry["Id"] for name, entry in deployment.containers().items()}
    assert {name for name in before | after if before.get(name) != after.get(name)} == {"telegram-bot"}, said
    checkout.make("down", "WIPE=yes")
