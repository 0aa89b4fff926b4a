"""The JSON of workflows, runs, jobs, check runs and artifacts."""

from collections.abc import Mapping
from dataclasses import dataclass

from emulators.github.bare import Commit
from emulators.github.models import Artifact, Job, JsonObject, Repository, WorkflowRun
from emulators.github.views import Views

_ACTIONS_APP: Mapping[str, object] = {
    "id": 15368,
    "node_id": "A_15368",
    "slug": "github-actions",
    "name": "GitHub Actions",
    "description": None,
    "permissions": {"actions": "write", "checks": "write", "contents": "read", "metadata": "read"},
    "events": [],
    "created_at": "2018-07-30T09:30:17Z",
    "updated_at": "2019-12-10T19:04:12Z",
}


@dataclass(frozen=True)
class ActionViews:
    """Builds the JSON of one repository's Actions."""

    views: Views
    repository: Repository
    actor: str

    @property
    def _url(self) -> str:
        return f"{self.views.repository_url(self.repository)}/actions"

    def run(self, run: WorkflowRun) -> JsonObject:
        """A workflow run."""
        url = f"{self._url}/runs/{run.id}"
        return {
            "id": run.id,
            "node_id": f"WFR_{run.id}",
            "name": run.name,
            "display_title": run.display_title,
            "path": run.path,
            "workflow_id": run.workflow_id,
            "run_number": run.run_number,
            "run_attempt": run.run_attempt,
            "event": run.event,
            "status": run.status,
            "conclusion": run.conclusion,
            "head_branch": run.head_branch,
            "head_sha": run.head_sha,
            "check_suite_id": run.id,
            "pull_requests": _pulls(run),
            "created_at": run.created_at,
            "updated_at": run.updated_at,
            "run_started_at": run.run_started_at,
            "actor": self.views.bot(self.actor),
            "triggering_actor": self.views.bot(self.actor),
            "url": url,
            "html_url": self.run_page(run.id),
            "jobs_url": f"{url}/jobs",
            "logs_url": f"{url}/logs",
            "cancel_url": f"{url}/cancel",
            "rerun_url": f"{url}/rerun",
            "artifacts_url": f"{url}/artifacts",
            "check_suite_url": f"{self.views.repository_url(self.repository)}/check-suites/{run.id}",
            "workflow_url": f"{self._url}/workflows/{run.workflow_id}",
            "repository": self.views.repository(self.repository),
            "head_repository": self.views.repository(self.repository),
            "head_commit": None,
        }

    def run_page(self, run_id: int) -> str:
        """The page of a run for people."""
        return f"{self.views.base_url}/{self.repository.full_name}/actions/runs/{run_id}"

    def job(self, job: Job, run: WorkflowRun) -> JsonObject:
        """A job with its steps."""
        return {
            "id": job.id,
            "node_id": f"CR_{job.id}",
            "run_id": run.id,
            "run_attempt": run.run_attempt,
            "run_url": f"{self._url}/runs/{run.id}",
            "workflow_name": run.name,
            "head_branch": run.head_branch,
            "head_sha": run.head_sha,
            "name": job.name,
            "status": job.status,
            "conclusion": job.conclusion,
            "created_at": job.created_at,
            "started_at": job.started_at or job.created_at,
            "completed_at": job.completed_at,
            "steps": job.steps,
            "labels": ["ubuntu-latest"],
            "runner_name": "emulated runner" if job.started_at else None,
            "runner_id": 1 if job.started_at else None,
            "runner_group_name": "emulated runners" if job.started_at else None,
            "runner_group_id": 1 if job.started_at else None,
            "url": f"{self._url}/jobs/{job.id}",
            "html_url": f"{self.run_page(run.id)}/job/{job.id}",
            "check_run_url": f"{self.views.repository_url(self.repository)}/check-runs/{job.id}",
        }

    def check_run(self, job: Job, run: WorkflowRun) -> JsonObject:
        """The same job as a check run."""
        html = f"{self.run_page(run.id)}/job/{job.id}"
        return {
            "id": job.id,
            "node_id": f"CR_{job.id}",
            "name": job.name,
            "head_sha": run.head_sha,
            "external_id": str(job.id),
            "status": job.status,
            "conclusion": job.conclusion,
            "started_at": job.started_at or job.created_at,
            "completed_at": job.completed_at,
            "url": f"{self.views.repository_url(self.repository)}/check-runs/{job.id}",
            "html_url": html,
            "details_url": html,
            "output": {
                "title": None,
                "summary": None,
                "text": None,
                "annotations_count": 0,
                "annotations_url": f"{self.views.repository_url(self.repository)}/check-runs/{job.id}/annotations",
            },
            "check_suite": {"id": run.id},
            "app": self._app(),
            "pull_requests": _pulls(run),
        }

    def check_suite(self, run: WorkflowRun, commit: Commit, jobs: int) -> JsonObject:
        """A run as a check suite; one that could not start is only visible here and as a run."""
        conclusion = "startup_failure" if run.message is not None else run.conclusion
        url = f"{self.views.repository_url(self.repository)}/check-suites/{run.id}"
        return {
            "id": run.id,
            "node_id": f"CS_{run.id}",
            "before": commit.parents[0] if commit.parents else "0" * 40,
            "after": run.head_sha,
            "head_commit": self.views.simple_commit(commit),
            "pull_requests": _pulls(run),
            "repository": self.views.repository(self.repository),
            "latest_check_runs_count": jobs,
            "check_runs_url": f"{url}/check-runs",
            "head_branch": run.head_branch,
            "head_sha": run.head_sha,
            "status": run.status,
            "conclusion": conclusion,
            "created_at": run.created_at,
            "updated_at": run.updated_at,
            "url": url,
            "app": self._app(),
        }

    def workflow(self, workflow_id: int, path: str, name: str) -> JsonObject:
        """A workflow file."""
        return {
            "id": workflow_id,
            "node_id": f"W_{workflow_id}",
            "name": name,
            "path": path,
            "state": "active",
            "created_at": self.repository.created_at,
            "updated_at": self.repository.updated_at,
            "url": f"{self._url}/workflows/{workflow_id}",
            "html_url": f"{self.views.base_url}/{self.repository.full_name}/blob/main/{path}",
            "badge_url": f"{self.views.base_url}/{self.repository.full_name}/workflows/{workflow_id}/badge.svg",
        }

    def artifact(self, artifact: Artifact, run: WorkflowRun) -> JsonObject:
        """An artifact."""
        return {
            "id": artifact.id,
            "node_id": f"AR_{artifact.id}",
            "name": artifact.name,
            "size_in_bytes": artifact.size,
            "expired": False,
            "created_at": artifact.created_at,
            "updated_at": artifact.created_at,
            "expires_at": None,
            "url": f"{self._url}/artifacts/{artifact.id}",
            "archive_download_url": f"{self._url}/artifacts/{artifact.id}/zip",
            "workflow_run": {"id": run.id, "head_branch": run.head_branch, "head_sha": run.head_sha},
        }

    def _app(self) -> JsonObject:
        html = f"{self.views.base_url}/apps/github-actions"
        return {**_ACTIONS_APP, "owner": self.views.owner("github"), "external_url": html, "html_url": html}


def _pulls(run: WorkflowRun) -> list[JsonObject]:
    """The pull request a run was started for, in short."""
    pull = run.payload.get("pull_request")
    if not isinstance(pull, dict):
        return []
    sides = {
        name: {
            "ref": pull[name]["ref"],
            "sha": pull[name]["sha"],
            "repo": {field: pull[name]["repo"][field] for field in ("id", "url", "name")},
        }
        for name in ("head", "base")
    }
    return [{**{name: pull[name] for name in ("id", "number", "url")}, **sides}]
