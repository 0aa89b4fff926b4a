"""Interrupts leave nothing behind and upgrades replace only what changed: make targets in a copy of this checkout.

An interrupt reaches make's process group, as a terminal sends it; a request to end reaches make alone; what nobody can
catch ends everything at once, and the next run sweeps.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_stack.testing.deployment import COMPOSE_LABEL, Deployment, docker
from local_stack.testing.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
ENV = ".codegen/docker/copy/env"
TEST_ENV = ".codegen/docker/test/env"
SERVICE = "services/telegram-bot"
WAIT_SECONDS = 240
GONE_SECONDS = 90
pytestmark = [
    pytest.mark.skipif(os.environ.get("COMPOSE_ALONE") != "test-lifecycle", reason="`make test-lifecycle` runs this"),
    pytest.mark.timeout(900),
]


@dataclass(frozen=True)
class Copy:
    """A checkout with image names of its own; its dependencies are those of the one it was made of."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
        return {**kept, "IMAGE_PREFIX": os.environ["COMPOSE_COPY_PREFIX"], "CODEGEN_ENV": ENV}

    def start(self, *target: str) -> Run:
        # Who runs these tests in the background has made them deaf to Ctrl-C, and with them whatever they start.
        command = ["env", "--default-signal=INT", "make", *target]
        with (self.root / "out.log").open("wb") as out:
            process = subprocess.Popen(
                command, cwd=self.root, env=self.environment, stdout=out, stderr=out, start_new_session=True
            )
        return Run(process, self.root / "out.log")

    def make(self, *target: str) -> str:
        run = self.start(*target)
        code = run.process.wait(timeout=WAIT_SECONDS)
        assert code == 0, run.log.read_text()[-2000:]
        return run.log.read_text()

    def script(self, name: str, *arguments: str) -> None:
        command = [str(self.root / "scripts/docker" / name), *arguments]
        subprocess.run(command, cwd=self.root, env=self.environment, check=True, capture_output=True)

    def project(self, env: str) -> str:
        file = self.root / env
        return Deployment.of(file).project if file.exists() else "none"

    def containers(self, env: str) -> list[str]:
        return docker(
            "ps", "--all", "--quiet", "--filter", f"label={COMPOSE_LABEL}.project={self.project(env)}"
        ).split()

    def levels(self) -> list[str]:
        """Return the settings of levels that run in containers."""
        return [str(file.relative_to(self.root)) for file in self.root.glob(".codegen/docker/levels/*/env")]

    def build_containers(self) -> list[str]:
        return docker("ps", "--all", "--quiet", "--filter", f"label=cut={self.root}").split()

    def run_folders(self) -> list[Path]:
        return list((self.root / ".codegen/docker").glob("run.*"))


@dataclass(frozen=True)
class Run:
    """A make target that runs in a session of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    def members(self) -> list[int]:
        """Return every process of the session that still runs."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == self.process.pid and fields[0] != "Z":
                found.append(int(entry.name))
        return found

    def interrupt(self, number: signal.Signals) -> None:
        if number is signal.SIGINT:
            os.killpg(self.process.pid, number)
        elif number is signal.SIGTERM:
            self.process.send_signal(number)
        else:
            for member in self.members():
                os.kill(member, number)
        self.process.wait(timeout=GONE_SECONDS)


async def _until(ask: Callable[[], bool], what: str, run: Run, seconds: float = WAIT_SECONDS) -> None:
    async def once() -> bool | None:
        return True if ask() else None

    await eventually(once, seconds, what, lambda: (run.members(), run.log.read_text()[-1500:]))


@pytest.fixture(scope="module")
def copy() -> Iterator[Copy]:
    root = ROOT / ".codegen/docker/test/copy"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name, follow_symlinks=False)
    (root / "scripts/bootstrap.sh").write_text("#!/bin/sh\n")
    (root / ".venv").symlink_to(ROOT / ".venv")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    made = Copy(root)
    made.make("images")
    yield made
    shutil.rmtree(root / ".codegen/docker/secrets", ignore_errors=True)


@pytest.fixture
def slow_build(copy: Copy) -> Iterator[None]:
    """Let the build of one image last, in containers that can be told from others."""
    file = copy.root / SERVICE / "Dockerfile"
    before = file.read_text()
    file.write_text(before.replace("codegen.stage=build", f"codegen.stage=build cut={copy.root}\nRUN sleep 300"))
    yield
    file.write_text(before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.usefixtures("slow_build")
async def test_an_interrupted_build_leaves_no_container_folder_or_process(copy: Copy, number: signal.Signals) -> None:
    run = copy.start("images")
    await _until(lambda: bool(copy.build_containers()), "the build's container", run)
    run.interrupt(number)
    await _until(lambda: not run.members(), "the end of every process", run, GONE_SECONDS)
    await _until(lambda: not copy.build_containers(), "the end of the build's container", run, GONE_SECONDS)
    if number is signal.SIGKILL:
        copy.script("images.sh", "redis")
    assert copy.run_folders() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_first_start_leaves_no_container_network_or_process(
    copy: Copy, number: signal.Signals
) -> None:
    run = copy.start("up", "PROFILE=emulators")
    await _until(lambda: len(copy.containers(ENV)) >= 4, "the first containers", run)
    run.interrupt(number)
    await _until(lambda: not run.members(), "the end of every process", run, GONE_SECONDS)
    assert copy.containers(ENV) == []
    networks = docker("network", "ls", "--quiet", "--filter", f"label={COMPOSE_LABEL}.project={copy.project(ENV)}")
    assert networks == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_an_interrupted_test_leaves_no_stack(copy: Copy, number: signal.Signals) -> None:
    run = copy.start("test-compose")
    await _until(lambda: len(copy.containers(TEST_ENV)) >= 4, "the first containers", run)
    project = copy.project(TEST_ENV)
    run.interrupt(number)
    await _until(lambda: not run.members(), "the end of every process", run, GONE_SECONDS)
    if number is signal.SIGKILL:
        copy.script("test_stack.sh", "sweep")
    _assert_nothing_is_left_of(project)
    assert not (copy.root / TEST_ENV).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_an_interrupted_level_leaves_no_container_network_or_volume(copy: Copy, number: signal.Signals) -> None:
    run = copy.start("test-scheduler-service")
    await _until(lambda: any(len(copy.containers(env)) >= 2 for env in copy.levels()), "the first containers", run)
    [project] = [copy.project(env) for env in copy.levels()]
    run.interrupt(number)
    await _until(lambda: not run.members(), "the end of every process", run, GONE_SECONDS)
    if number is signal.SIGKILL:
        copy.script("test_containers.sh", "sweep")
    _assert_nothing_is_left_of(project)
    assert copy.levels() == []


def _assert_nothing_is_left_of(project: str) -> None:
    for kind in (("ps", "--all"), ("network", "ls"), ("volume", "ls")):
        assert docker(*kind, "--quiet", "--filter", f"label={COMPOSE_LABEL}.project={project}") == ""


def test_an_upgrade_replaces_only_what_changed(copy: Copy) -> None:
    copy.make("up", "PROFILE=emulators")
    deployment = Deployment.of(copy.root / ENV)
    before = {name: entry["Id"] for name, entry in deployment.containers().items()}
    module = copy.root / SERVICE / "src/telegram_bot/__init__.py"
    module.write_text(module.read_text() + "\n# Another release.\n")
    said = copy.make("upgrade", "PROFILE=emulators")
    after = {name: entry["Id"] for name, entry in deployment.containers().items()}
    assert {name for name in before | after if before.get(name) != after.get(name)} == {"telegram-bot"}, said
    copy.make("down", "WIPE=yes")
