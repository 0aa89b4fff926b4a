"""Checks, workflow runs and their logs."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from shared.clients.github.errors import GitHubNotFound
from shared.clients.github.models import CheckRun, CheckRuns, Jobs, WorkflowRun, WorkflowRuns
from shared.clients.github.port import DEFAULT_LOG_LINES
from shared.clients.github.reading import read
from shared.clients.github.resources import Resources, in_path, in_segment
from shared.clients.github.transport import Call

_PAGE = {"per_page": "100"}


class Actions(Resources):
    """See shared.clients.github.port for what each method promises."""

    async def list_check_runs(self, full_name: str, sha: str) -> list[CheckRun]:
        call = Call("GET", f"/commits/{in_path(sha)}/check-runs", query={**_PAGE, "filter": "latest"})
        pages = await self._pages(full_name, call)
        return [check for page in pages for check in read(CheckRuns, page).check_runs]

    async def job_log_tail(self, full_name: str, job_id: int, lines: int = DEFAULT_LOG_LINES) -> str:
        try:
            response = await self._repository(full_name, Call("GET", f"/actions/jobs/{job_id}/logs"))
        except GitHubNotFound:
            return ""
        return "\n".join(response.text.splitlines()[-lines:])

    async def dispatch_workflow(self, full_name: str, workflow: str, ref: str, inputs: Mapping[str, str]) -> None:
        path = f"/actions/workflows/{in_segment(workflow)}/dispatches"
        body: dict[str, JsonValue] = {"ref": ref, "inputs": dict(inputs)}
        # Sent twice it would run twice: after a lost answer the caller looks for the run by its correlation.
        await self._repository(full_name, Call("POST", path, body, is_repeatable=False))

    async def list_workflow_runs(
        self,
        full_name: str,
        workflow: str,
        *,
        event: str | None = None,
        head_sha: str | None = None,
        created: str | None = None,
    ) -> list[WorkflowRun]:
        filters = {"event": event, "head_sha": head_sha, "created": created}
        query = {**_PAGE, **{name: value for name, value in filters.items() if value is not None}}
        path = f"/actions/workflows/{in_segment(workflow)}/runs"
        response = await self._repository(full_name, Call("GET", path, query=query))
        return list(read(WorkflowRuns, response).workflow_runs)

    async def list_runs_of_commit(self, full_name: str, sha: str) -> list[WorkflowRun]:
        response = await self._repository(full_name, Call("GET", "/actions/runs", query={**_PAGE, "head_sha": sha}))
        return list(read(WorkflowRuns, response).workflow_runs)

    async def get_workflow_run(self, full_name: str, run_id: int) -> WorkflowRun:
        response = await self._repository(full_name, Call("GET", f"/actions/runs/{run_id}"))
        return read(WorkflowRun, response)

    async def workflow_log_tail(self, full_name: str, run_id: int, lines: int = DEFAULT_LOG_LINES) -> str:
        call = Call("GET", f"/actions/runs/{run_id}/jobs", query={**_PAGE, "filter": "latest"})
        pages = await self._pages(full_name, call)
        jobs = [job for page in pages for job in read(Jobs, page).jobs]
        failed = [job for job in jobs if job.is_completed and not job.is_successful]
        tails = [f"== {job.name}\n{await self.job_log_tail(full_name, job.id, lines)}" for job in failed or jobs]
        return "\n".join("\n".join(tails).splitlines()[-lines:])
