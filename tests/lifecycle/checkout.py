"""A copy of this checkout, the make targets that run in it, and what they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from local_stack.testing.deployment import COMPOSE_LABEL, Deployment, docker
from local_stack.testing.waiting import eventually

ENV = ".codegen/docker/copy/env"
WAIT_SECONDS = 240
GONE_SECONDS = 90
# What the make and the pytest that run these tests were told is not meant for the makes they start.
OTHERS = ("ARGS", "JOBS", "MAKE", "MFLAGS", "PYTEST_", "COMPOSE_")


@dataclass(frozen=True)
class Run:
    """A make target in a session of its own; its orphans become children of the tests (see conftest)."""

    process: subprocess.Popen[bytes]
    log: Path

    def members(self) -> list[psutil.Process]:
        """Return every process the run started that still does something, whatever session it is in."""
        return [process for process in psutil.Process().children(recursive=True) if _works(process)]

    def named(self, program: str) -> list[psutil.Process]:
        """Return the members of the run that were started as this program or as this Python module."""
        return [member for member in self.members() if any(program in word for word in _command(member))]

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def interrupt(self, number: signal.Signals) -> None:
        """End the run: an interrupt reaches make's process group, as a terminal sends it; a request to end reaches make
        alone; what nobody can catch ends every process of its session at once.
        """
        members = self.members()
        if number is signal.SIGINT:
            os.killpg(self.process.pid, number)
        elif number is signal.SIGTERM:
            self.process.send_signal(number)
        else:
            for member in members:
                if _session(member) == self.process.pid:
                    member.kill()
        self.process.wait(timeout=GONE_SECONDS)

    async def until(self, ask: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
        """Wait until a question is answered with yes."""

        async def once() -> bool | None:
            return True if ask() else None

        await eventually(once, seconds, what, lambda: (self.members(), self.said()[-1500:]))

    async def until_busy(self, ask: Callable[[], bool], what: str) -> None:
        """Wait until a question is answered with yes while the target still runs."""
        await self.until(lambda: ask() or self.process.poll() is not None, what)
        assert self.process.poll() is None, f"it ended before {what}: {self.said()[-1500:]}"

    async def until_all_ended(self) -> None:
        await self.until(lambda: not self.members(), "the end of every process", GONE_SECONDS)


def _works(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


@dataclass(frozen=True)
class Checkout:
    """A checkout with image names of its own; its dependencies are those of the one it was made of."""

    root: Path

    @property
    def home(self) -> Path:
        """Where the system keeps what it is doing when it runs as processes."""
        return self.root / ".codegen"

    def start(self, *target: str, **environment: str) -> Run:
        """Start a make target."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
        own = {"IMAGE_PREFIX": os.environ["COMPOSE_COPY_PREFIX"], "CODEGEN_ENV": ENV, "CODEGEN_HOME": str(self.home)}
        # Who runs these tests in the background has made them deaf to Ctrl-C, and with them whatever they start.
        command = ["env", "--default-signal=INT", "make", *target]
        with (self.root / "out.log").open("wb") as out:
            process = subprocess.Popen(
                command, cwd=self.root, env=kept | own | environment, stdout=out, stderr=out, start_new_session=True
            )
        return Run(process, self.root / "out.log")

    def make(self, *target: str) -> str:
        """Run a make target to its end and return what it said; a failure is an assertion."""
        run = self.start(*target)
        code = run.process.wait(timeout=WAIT_SECONDS)
        assert code == 0, run.said()[-2000:]
        return run.said()

    def script(self, name: str, *arguments: str) -> None:
        command = [str(self.root / "scripts/docker" / name), *arguments]
        environment = os.environ | {"IMAGE_PREFIX": os.environ["COMPOSE_COPY_PREFIX"]}
        subprocess.run(command, cwd=self.root, env=environment, check=True, capture_output=True)

    def projects(self, below: str) -> list[str]:
        """Return the Compose projects whose settings are in or below a folder of the checkout."""
        return [Deployment.of(file).project for file in (self.root / below).rglob("env") if file.is_file()]

    def build_containers(self) -> list[str]:
        """Return the containers of the build that `slow_build` lets last."""
        return docker("ps", "--all", "--quiet", "--filter", f"label=cut={self.root}").split()

    def run_folders(self) -> list[Path]:
        return list((self.root / ".codegen/docker").glob("run.*"))


def label_of(project: str) -> str:
    return f"{COMPOSE_LABEL}.project={project}"


def containers(*labels: str) -> list[str]:
    """Return the ids of the containers with any of these labels, running or not."""
    return [
        found for label in labels for found in docker("ps", "--all", "--quiet", "--filter", f"label={label}").split()
    ]


def remains(*labels: str) -> list[str]:
    """Return the ids of all containers, networks and volumes with any of these labels."""
    kinds = (("network", "ls"), ("volume", "ls"))
    asked = [docker(*kind, "--quiet", "--filter", f"label={label}").split() for kind in kinds for label in labels]
    return containers(*labels) + [found for answer in asked for found in answer]
