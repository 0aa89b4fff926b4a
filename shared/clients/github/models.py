"""What GitHub answers, reduced to the fields the platform reads; unknown fields are ignored."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, Base64Bytes, BaseModel, ConfigDict

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


class Installation(GitHubModel):
    id: int
    target_type: str

    @property
    def is_of_organization(self) -> bool:
        return self.target_type == "Organization"


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


class GitObject(GitHubModel):
    sha: str


class GitRef(GitHubModel):
    """A branch or tag and what it points to."""

    ref: str
    object: GitObject


class FileContent(GitHubModel):
    """What lies at a path; a file above 1 MB comes without its content and says `encoding: none`, others have none."""

    type: str
    encoding: str = "none"
    content: Base64Bytes = b""

    @property
    def is_whole(self) -> bool:
        return self.encoding == "base64"

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")


class PullRef(GitHubModel):
    ref: str
    sha: str


class Pull(GitHubModel):
    number: int
    state: str
    title: str
    html_url: str
    head: PullRef
    base: PullRef
    merge_commit_sha: str | None = None
    merged_at: AwareDatetime | None = None

    @property
    def is_open(self) -> bool:
        return self.state == "open"

    @property
    def is_merged(self) -> bool:
        return self.merged_at is not None


class MergeResult(GitHubModel):
    sha: str
    merged: bool = True
    was_merged_before: bool = False


class _Finishing(GitHubModel):
    status: str | None
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


class CheckRuns(GitHubModel):
    check_runs: tuple[CheckRun, ...]


class WorkflowRuns(GitHubModel):
    workflow_runs: tuple[WorkflowRun, ...]


class Jobs(GitHubModel):
    jobs: tuple[Job, ...]


class PublicKey(GitHubModel):
    key_id: str
    key: str
