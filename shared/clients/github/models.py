"""What GitHub answers, reduced to the fields the platform reads; unknown fields are ignored."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

SUCCESSFUL_CONCLUSIONS = frozenset({"success", "neutral", "skipped"})


class GitHubModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Permission(StrEnum):
    """Names of installation permissions the platform asks for."""

    ACTIONS = "actions"
    ADMINISTRATION = "administration"
    CHECKS = "checks"
    CONTENTS = "contents"
    PULL_REQUESTS = "pull_requests"
    SECRETS = "secrets"
    WORKFLOWS = "workflows"


class Account(GitHubModel):
    login: str
    type: str = "User"

    @property
    def is_organization(self) -> bool:
        return self.type == "Organization"


class Installation(GitHubModel):
    id: int
    account: Account


class InstallationToken(GitHubModel):
    token: str
    expires_at: AwareDatetime


class Repository(GitHubModel):
    id: int
    name: str
    full_name: str
    private: bool
    default_branch: str = "main"
    clone_url: str
    html_url: str


class PullRef(GitHubModel):
    ref: str
    sha: str


class Pull(GitHubModel):
    """A pull request; `merged` is only told when one is read by its number."""

    number: int
    state: str
    title: str
    html_url: str
    head: PullRef
    base: PullRef
    merged: bool = False
    mergeable: bool | None = None
    merge_commit_sha: str | None = None
    merged_at: AwareDatetime | None = None

    @property
    def is_open(self) -> bool:
        return self.state == "open"

    @property
    def is_merged(self) -> bool:
        return self.merged or self.merged_at is not None


class MergeResult(GitHubModel):
    sha: str
    merged: bool = True
    was_merged_before: bool = False


class _Finishing(GitHubModel):
    status: str
    conclusion: str | None = None

    @property
    def is_completed(self) -> bool:
        return self.status == "completed"

    @property
    def is_successful(self) -> bool:
        return self.is_completed and self.conclusion in SUCCESSFUL_CONCLUSIONS


class CheckRun(_Finishing):
    """One check of one commit; of a GitHub Actions job the id is the job's id."""

    id: int
    name: str
    head_sha: str
    html_url: str | None = None


class WorkflowRun(_Finishing):
    """One run of a workflow; `display_title` holds what the file's `run-name` made of its inputs."""

    id: int
    name: str | None = None
    path: str = ""
    display_title: str = ""
    event: str
    head_sha: str
    head_branch: str | None = None
    run_attempt: int = 1
    html_url: str
    created_at: AwareDatetime


class Job(_Finishing):
    id: int
    name: str


class PublicKey(GitHubModel):
    key_id: str
    key: str
