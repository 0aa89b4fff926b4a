"""What the platform may ask of GitHub: implemented by GitHubClient (REST) and shared.testing.github.FakeGitHub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pydantic import SecretStr

from shared.clients.github.models import CheckRun, MergeResult, Pull, Repository, WorkflowRun

DEFAULT_LOG_LINES = 200


class GitHub(Protocol):
    """`full_name` is owner/name. Every method raises leaves of GitHubError (see shared.clients.github.errors)."""

    # repositories
    async def get_repository(self, full_name: str) -> Repository:
        """Read a repository; raises GitHubNotFound."""

    async def create_repository(self, owner: str, name: str, *, private: bool = True) -> tuple[Repository, bool]:
        """Create an empty repository, or adopt the one that exists; the flag says whether it was created now."""

    async def get_ref(self, full_name: str, branch: str) -> str | None:
        """Return the sha a branch points to; None when there is no such branch (or nothing at all yet)."""

    async def compare_diff(self, full_name: str, base: str, head: str) -> str:
        """Return the unified diff base...head; each may be a branch or a sha."""

    async def get_content(self, full_name: str, path: str, ref: str) -> str | None:
        """Return a text file at a branch or sha; None when it is absent or no file."""

    async def delete_branch(self, full_name: str, branch: str) -> None:
        """Delete a branch; one that is gone already is success."""

    async def protect_branch(self, full_name: str, branch: str) -> bool:
        """Forbid force pushes and deletion; False when GitHub refuses (the plan or a permission lacks)."""

    async def put_secret(self, full_name: str, name: str, value: SecretStr) -> None:
        """Create or replace an Actions secret, sealed for the repository's key."""

    async def repository_token(self, full_name: str, permissions: Mapping[str, str] | None = None) -> SecretStr:
        """Return a token of this one repository, valid for at least five minutes (default: contents write)."""

    # pull requests
    async def create_pull(self, full_name: str, head: str, base: str, title: str, body: str) -> Pull:
        """Open a pull request, or adopt the open one of the same branches."""

    async def get_pull(self, full_name: str, number: int) -> Pull:
        """Read a pull request; raises GitHubNotFound."""

    async def find_pull(self, full_name: str, head_branch: str) -> Pull | None:
        """Return the newest pull request of a branch, open ones first, in any state."""

    async def merge_pull(self, full_name: str, number: int, sha: str, title: str) -> MergeResult:
        """Squash-merge exactly this head; merged before: that merge's sha. Raises MergeRefused."""

    # checks and workflows
    async def list_check_runs(self, full_name: str, sha: str) -> list[CheckRun]:
        """Return the newest run of each check of a commit."""

    async def job_log_tail(self, full_name: str, job_id: int, lines: int = DEFAULT_LOG_LINES) -> str:
        """Return the last lines of a job's log; a check run of Actions has its job's id. Empty when there is none."""

    async def dispatch_workflow(self, full_name: str, workflow: str, ref: str, inputs: Mapping[str, str]) -> None:
        """Start a workflow file; GitHub does not tell the run: find it by a correlation in its display title."""

    async def list_workflow_runs(
        self,
        full_name: str,
        workflow: str,
        *,
        event: str | None = None,
        head_sha: str | None = None,
        created: str | None = None,
    ) -> list[WorkflowRun]:
        """Return the runs of a workflow file, newest first; `created` as in GitHub's search (`>=2026-01-31`)."""

    async def list_runs_of_commit(self, full_name: str, sha: str) -> list[WorkflowRun]:
        """Return every workflow run of one commit; a workflow that could not start has a run and no check."""

    async def get_workflow_run(self, full_name: str, run_id: int) -> WorkflowRun:
        """Read a workflow run; raises GitHubNotFound."""

    async def workflow_log_tail(self, full_name: str, run_id: int, lines: int = DEFAULT_LOG_LINES) -> str:
        """Return the last log lines of the run's failed jobs, or of all its jobs when none failed."""

    async def aclose(self) -> None:
        """Close the connections."""
