"""Engineering, deploy and scaffolding: what is asked of the graphs and of the scaffolder."""

from __future__ import annotations

from pydantic import Field

from shared.contracts.base import BaseMessage, BaseResult
from shared.contracts.vocabulary import ProjectModule


class EngineeringMessage(BaseMessage):
    """A hint that a task wants work; the task's row is the truth."""

    task_id: str
    project_id: str
    user_id: str


class DeployMessage(BaseMessage):
    task_id: str
    project_id: str
    user_id: str


class EngineeringResult(BaseResult):
    task_id: str
    files_changed: list[str] = Field(default_factory=list)
    commit_sha: str | None = None
    branch: str | None = None
    pr_url: str | None = None


class DeployResult(BaseResult):
    task_id: str
    deployed_url: str | None = None
    server_ip: str | None = None
    port: int | None = None


class ScaffolderMessage(BaseMessage):
    project_id: str
    project_name: str = Field(pattern=r"^[a-z][a-z0-9-]{1,48}[a-z0-9]$")
    modules: list[ProjectModule] = Field(default_factory=lambda: [ProjectModule.BACKEND], min_length=1)


class ScaffolderResult(BaseResult):
    project_id: str
    repo_url: str | None = None
    files_generated: list[str] = Field(default_factory=list)
