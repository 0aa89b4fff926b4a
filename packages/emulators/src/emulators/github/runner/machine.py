"""What the steps of one job work on: folders, processes, log, and the environment they build up together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emulators.github.bare import BareRepository
from emulators.github.models import Repository, WorkflowRun
from emulators.github.runner.folders import JobFolders
from emulators.github.runner.job_log import JobLog
from emulators.github.runner.processes import Command, Outcome, ProcessGroups


@dataclass
class Machine:
    """One job's machine; variables and extra_path grow as steps write GITHUB_ENV and GITHUB_PATH."""

    folders: JobFolders
    groups: ProcessGroups
    log: JobLog
    bare: BareRepository
    run: WorkflowRun
    repository: Repository
    token: str
    artifacts: Path
    tools: Path
    fixed: Mapping[str, str]
    search_path: str
    variables: dict[str, str] = field(default_factory=dict)
    extra_path: list[str] = field(default_factory=list)

    def environment(self, step: Mapping[str, str]) -> dict[str, str]:
        """Return the whole environment of a process: what is fixed wins over what the workflow sets."""
        path = ":".join([*reversed(self.extra_path), self.search_path])
        return {**self.variables, **step, **self.fixed, "PATH": path}

    def directory(self, name: str | None) -> Path:
        """Return a working directory below the workspace, or an absolute one."""
        return self.folders.workspace / (name or ".")

    async def shell(
        self, script: str, environment: Mapping[str, str], timeout_seconds: float | None, *, stoppable: bool = True
    ) -> Outcome:
        """Run a script of a native action in the workspace, its output into the log."""
        arguments = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
        command = Command(arguments, self.folders.workspace, environment, timeout_seconds)
        return await self.groups.run(command, self.log.write, stoppable=stoppable)
