"""An in-memory GitHub for graph tests: the same port as the client, plus levers to push, check and finish."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import unified_diff

from pydantic import SecretStr

from shared.clients.github.errors import GitHubError, GitHubNotFound, MergeRefused
from shared.clients.github.models import CheckRun, MergeResult, Pull, PullRef, Repository, WorkflowRun
from shared.clients.github.port import DEFAULT_LOG_LINES

Files = Mapping[str, str]
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class FakeRepository:
    """What one repository holds; tests read it freely."""

    info: Repository
    branches: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)
    dispatches: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    workflow_runs: list[WorkflowRun] = field(default_factory=list)
    workflow_of: dict[int, str] = field(default_factory=dict)


class FakeGitHub:
    """Repositories, branches as trees, pull requests, checks and workflow runs, all in memory.

    `fail(method, error)` makes the next call of a method raise; `calls` lists every call as (method, full_name).
    """

    def __init__(self, web_url: str = "http://github.test") -> None:
        self.repositories: dict[str, FakeRepository] = {}
        self.calls: list[tuple[str, str]] = []
        self.refuse_protection = False
        self.refuse_merge: str | None = None
        self._web_url = web_url
        self._commits: dict[str, dict[str, str]] = {}
        self._checks: dict[str, list[CheckRun]] = {}
        self._logs: dict[int, str] = {}
        self._failures: dict[str, list[GitHubError]] = {}
        self._last_id = 0

    # levers
    def add_repository(self, full_name: str, files: Files | None = None, *, branch: str = "main") -> FakeRepository:
        """Create a repository, with a first commit when files are given."""
        name = full_name.partition("/")[2]
        url = f"{self._web_url}/{full_name}"
        info = Repository(
            id=self._id(), name=name, full_name=full_name, private=True, clone_url=f"{url}.git", html_url=url
        )
        self.repositories[full_name.lower()] = FakeRepository(info)
        if files is not None:
            self.push(full_name, branch, files)
        return self.repositories[full_name.lower()]

    def push(self, full_name: str, branch: str, files: Files) -> str:
        """Commit files on top of a branch (or of main, for a new branch); returns the sha."""
        repository = self._repository(full_name)
        parent = repository.branches.get(branch) or repository.branches.get("main")
        tree = {**self._commits.get(parent or "", {}), **files}
        sha = hashlib.sha1(f"{self._id()}{parent}{sorted(tree.items())}".encode(), usedforsecurity=False).hexdigest()
        self._commits[sha] = tree
        repository.branches[branch] = sha
        for number, pull in repository.pulls.items():
            if pull.is_open and pull.head.ref == branch:
                repository.pulls[number] = pull.model_copy(update={"head": PullRef(ref=branch, sha=sha)})
        return sha

    def set_check(
        self,
        sha: str,
        name: str = "test",
        *,
        status: str = "completed",
        conclusion: str | None = "success",
        log: str = "",
    ) -> CheckRun:
        """Create or replace a check of a commit."""
        check = CheckRun(
            id=self._id(),
            name=name,
            head_sha=sha,
            status=status,
            conclusion=conclusion if status == "completed" else None,
        )
        self._checks[sha] = [*(known for known in self._checks.get(sha, []) if known.name != name), check]
        self._logs[check.id] = log
        return check

    def add_run(self, full_name: str, sha: str, conclusion: str, *, path: str = ".github/workflows/ci.yml") -> None:
        """Give a commit a finished workflow run, with or without checks beside it."""
        repository, run_id = self._repository(full_name), self._id()
        repository.workflow_of[run_id] = path.rsplit("/", 1)[-1]
        repository.workflow_runs.insert(
            0,
            WorkflowRun(
                id=run_id,
                path=path,
                event="push",
                status="completed",
                conclusion=conclusion,
                head_sha=sha,
                html_url=f"{repository.info.html_url}/actions/runs/{run_id}",
                created_at=_EPOCH + timedelta(seconds=run_id),
            ),
        )

    def finish_workflow(self, full_name: str, run_id: int, conclusion: str = "success", *, log: str = "") -> None:
        """End a dispatched workflow run."""
        runs = self._repository(full_name).workflow_runs
        for index, run in enumerate(runs):
            if run.id == run_id:
                runs[index] = run.model_copy(update={"status": "completed", "conclusion": conclusion})
                self._logs[run_id] = log
                return
        raise GitHubNotFound(f"no workflow run {run_id}", status=404)

    def fail(self, method: str, error: GitHubError, times: int = 1) -> None:
        """Let the next calls of a method raise."""
        self._failures.setdefault(method, []).extend([error] * times)

    # repositories
    async def get_repository(self, full_name: str) -> Repository:
        return self._enter("get_repository", full_name).info

    async def create_repository(self, owner: str, name: str, *, private: bool = True) -> tuple[Repository, bool]:
        full_name = f"{owner}/{name}"
        self._note("create_repository", full_name)
        existing = self.repositories.get(full_name.lower())
        if existing is not None:
            return existing.info, False
        created = self.add_repository(full_name)
        created.info = created.info.model_copy(update={"private": private})
        return created.info, True

    async def get_ref(self, full_name: str, branch: str) -> str | None:
        return self._enter("get_ref", full_name).branches.get(branch)

    async def compare_diff(self, full_name: str, base: str, head: str) -> str:
        self._enter("compare_diff", full_name)
        old, new = self._tree(full_name, base), self._tree(full_name, head)
        parts: list[str] = []
        for path in sorted(old.keys() | new.keys()):
            if old.get(path) != new.get(path):
                before, after = (tree.get(path, "").splitlines(keepends=True) for tree in (old, new))
                parts.append(f"diff --git a/{path} b/{path}\n")
                parts.extend(unified_diff(before, after, f"a/{path}", f"b/{path}"))
        return "".join(parts)

    async def get_content(self, full_name: str, path: str, ref: str) -> str | None:
        repository = self._enter("get_content", full_name)
        sha = repository.branches.get(ref, ref)
        return self._commits.get(sha, {}).get(path)

    async def delete_branch(self, full_name: str, branch: str) -> None:
        self._enter("delete_branch", full_name).branches.pop(branch, None)

    async def protect_branch(self, full_name: str, branch: str) -> bool:
        repository = self._enter("protect_branch", full_name)
        if self.refuse_protection:
            return False
        repository.protected.add(branch)
        return True

    async def put_secret(self, full_name: str, name: str, value: SecretStr) -> None:
        self._enter("put_secret", full_name).secrets[name] = value.get_secret_value()

    async def repository_token(self, full_name: str, permissions: Mapping[str, str] | None = None) -> SecretStr:
        self._enter("repository_token", full_name)
        return SecretStr(f"ghs_fake_{full_name.replace('/', '_')}_{self._id()}")

    # pull requests
    async def create_pull(self, full_name: str, head: str, base: str, title: str, body: str) -> Pull:
        repository = self._enter("create_pull", full_name)
        for pull in repository.pulls.values():
            if pull.is_open and (pull.head.ref, pull.base.ref) == (head, base):
                return pull
        number = len(repository.pulls) + 1
        pull = Pull(
            number=number,
            state="open",
            title=title,
            html_url=f"{repository.info.html_url}/pull/{number}",
            head=PullRef(ref=head, sha=self._sha(repository, head)),
            base=PullRef(ref=base, sha=self._sha(repository, base)),
        )
        repository.pulls[number] = pull
        return pull

    async def get_pull(self, full_name: str, number: int) -> Pull:
        return self._pull(self._enter("get_pull", full_name), number)

    async def find_pull(self, full_name: str, head_branch: str) -> Pull | None:
        repository = self._enter("find_pull", full_name)
        own = [pull for pull in reversed(repository.pulls.values()) if pull.head.ref == head_branch]
        return next((pull for pull in own if pull.is_open), own[0] if own else None)

    async def merge_pull(self, full_name: str, number: int, sha: str, title: str) -> MergeResult:
        repository = self._enter("merge_pull", full_name)
        pull = self._pull(repository, number)
        if pull.is_merged:
            assert pull.merge_commit_sha is not None
            return MergeResult(sha=pull.merge_commit_sha, was_merged_before=True)
        if self.refuse_merge is not None:
            raise MergeRefused(self.refuse_merge, status=405)
        if pull.head.sha != sha:
            raise MergeRefused("Head branch was modified. Review and try the merge again.", status=409)
        merged = self.push(full_name, pull.base.ref, self._commits[sha])
        update = {"state": "closed", "merge_commit_sha": merged, "merged_at": _EPOCH}
        repository.pulls[number] = pull.model_copy(update=update)
        return MergeResult(sha=merged)

    # checks and workflows
    async def list_check_runs(self, full_name: str, sha: str) -> list[CheckRun]:
        self._enter("list_check_runs", full_name)
        return list(self._checks.get(sha, []))

    async def job_log_tail(self, full_name: str, job_id: int, lines: int = DEFAULT_LOG_LINES) -> str:
        self._enter("job_log_tail", full_name)
        return _tail(self._logs.get(job_id, ""), lines)

    async def dispatch_workflow(self, full_name: str, workflow: str, ref: str, inputs: Mapping[str, str]) -> None:
        repository = self._enter("dispatch_workflow", full_name)
        repository.dispatches.append((workflow, ref, dict(inputs)))
        run_id = self._id()
        run = WorkflowRun(
            id=run_id,
            path=f".github/workflows/{workflow}",
            display_title=" ".join([workflow, *inputs.values()]),
            event="workflow_dispatch",
            status="queued",
            head_sha=self._sha(repository, ref),
            head_branch=ref,
            html_url=f"{repository.info.html_url}/actions/runs/{run_id}",
            created_at=_EPOCH + timedelta(seconds=run_id),
        )
        repository.workflow_runs.insert(0, run)
        repository.workflow_of[run_id] = workflow

    async def list_workflow_runs(
        self,
        full_name: str,
        workflow: str,
        *,
        event: str | None = None,
        head_sha: str | None = None,
        created: str | None = None,
    ) -> list[WorkflowRun]:
        """Filter like GitHub, except that `created` is ignored: fake runs are not created in real time."""
        repository = self._enter("list_workflow_runs", full_name)
        return [
            run
            for run in repository.workflow_runs
            if repository.workflow_of[run.id] == workflow
            and event in (None, run.event)
            and head_sha in (None, run.head_sha)
        ]

    async def list_runs_of_commit(self, full_name: str, sha: str) -> list[WorkflowRun]:
        return [run for run in self._enter("list_runs_of_commit", full_name).workflow_runs if run.head_sha == sha]

    async def get_workflow_run(self, full_name: str, run_id: int) -> WorkflowRun:
        for run in self._enter("get_workflow_run", full_name).workflow_runs:
            if run.id == run_id:
                return run
        raise GitHubNotFound(f"no workflow run {run_id}", status=404)

    async def workflow_log_tail(self, full_name: str, run_id: int, lines: int = DEFAULT_LOG_LINES) -> str:
        self._enter("workflow_log_tail", full_name)
        return _tail(self._logs.get(run_id, ""), lines)

    async def aclose(self) -> None:
        """Nothing is open."""

    def _id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _note(self, method: str, full_name: str) -> None:
        self.calls.append((method, full_name))
        failures: Sequence[GitHubError] = self._failures.get(method, [])
        if failures:
            raise self._failures[method].pop(0)

    def _enter(self, method: str, full_name: str) -> FakeRepository:
        self._note(method, full_name)
        return self._repository(full_name)

    def _repository(self, full_name: str) -> FakeRepository:
        repository = self.repositories.get(full_name.lower())
        if repository is None:
            raise GitHubNotFound(f"no repository {full_name}", status=404)
        return repository

    def _pull(self, repository: FakeRepository, number: int) -> Pull:
        pull = repository.pulls.get(number)
        if pull is None:
            raise GitHubNotFound(f"no pull request {number}", status=404)
        return pull

    def _sha(self, repository: FakeRepository, ref: str) -> str:
        sha = repository.branches.get(ref)
        if sha is None:
            raise GitHubNotFound(f"no branch {ref}", status=404)
        return sha

    def _tree(self, full_name: str, ref: str) -> dict[str, str]:
        sha = self._repository(full_name).branches.get(ref, ref)
        if sha not in self._commits:
            raise GitHubNotFound(f"no commit {ref}", status=404)
        return self._commits[sha]


def _tail(text: str, lines: int) -> str:
    return "\n".join(text.splitlines()[-lines:])
