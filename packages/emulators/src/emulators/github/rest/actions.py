"""Workflows, dispatches, runs and jobs."""

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from emulators.github.action_views import ActionViews
from emulators.github.auth import Access, ReadActions, WriteActions
from emulators.github.errors import Conflict, NotFound, Unprocessable, WorkflowError
from emulators.github.events import WORKFLOW_FOLDER, workflow_paths, workflow_text
from emulators.github.models import JsonObject, WorkflowRun
from emulators.github.rest.pages import WantedPage
from emulators.github.runner.workflow import parse_workflow
from emulators.github.views import Views

router = APIRouter()

COMPARISONS: Mapping[str, Callable[[datetime, datetime], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


class Dispatch(BaseModel):
    """A workflow to start by hand."""

    ref: str
    inputs: dict[str, object] = {}
    return_run_details: bool = False


@router.get("/repos/{owner}/{repo}/actions/workflows")
async def list_workflows(access: ReadActions, page: WantedPage) -> JsonObject:
    """List the workflow files of the default branch."""
    sha = await access.bare.commit_sha(access.repository.default_branch)
    paths = [] if sha is None else await workflow_paths(access.bare, sha)
    return {"total_count": len(paths), "workflows": [await _workflow(access, path) for path in page.cut(paths)]}


@router.get("/repos/{owner}/{repo}/actions/workflows/{workflow}")
async def get_workflow(access: ReadActions, workflow: str) -> JsonObject:
    """Show a workflow by file name or id."""
    return await _workflow(access, await _path(access, workflow))


@router.post("/repos/{owner}/{repo}/actions/workflows/{workflow}/dispatches")
async def dispatch_workflow(access: WriteActions, workflow: str, body: Dispatch) -> Response:
    """Start a workflow: 204, or 200 with the run when return_run_details is set."""
    path = await _path(access, workflow)
    if len(body.inputs) > 25:
        raise Unprocessable("you may only define up to 25 `inputs` for a `workflow_dispatch` event")
    events = access.services.events
    run = await events.dispatch(access.place, path, body.ref, body.inputs)
    if not body.return_run_details:
        return Response(status_code=204)
    shown = _views(access)
    url = f"{Views(access.base_url).repository_url(access.repository)}/actions/runs/{run.id}"
    return JSONResponse({"workflow_run_id": run.id, "run_url": url, "html_url": shown.run_page(run.id)})


@router.get("/repos/{owner}/{repo}/actions/workflows/{workflow}/runs")
async def list_workflow_runs(access: ReadActions, request: Request, page: WantedPage, workflow: str) -> JsonObject:
    """List the runs of one workflow."""
    path = await _path(access, workflow)
    return _run_list(access, request, page, lambda run: run.path == path)


@router.get("/repos/{owner}/{repo}/actions/runs")
async def list_runs(access: ReadActions, request: Request, page: WantedPage) -> JsonObject:
    """List all runs, newest first."""
    return _run_list(access, request, page, lambda run: True)


@router.get("/repos/{owner}/{repo}/actions/runs/{number}")
async def get_run(access: ReadActions, number: int) -> JsonObject:
    """Show a run."""
    return _views(access).run(find_run(access, number))


@router.get("/repos/{owner}/{repo}/actions/runs/{number}/jobs")
@router.get("/repos/{owner}/{repo}/actions/runs/{number}/attempts/{attempt}/jobs")
async def list_jobs(access: ReadActions, page: WantedPage, number: int, attempt: int | None = None) -> JsonObject:
    """List the jobs of a run (of its last attempt: earlier ones are not kept)."""
    run = find_run(access, number)
    if attempt not in (None, run.run_attempt):
        raise NotFound
    jobs = access.services.actions.jobs(run.id)
    return {"total_count": len(jobs), "jobs": [_views(access).job(job, run) for job in page.cut(jobs)]}


@router.get("/repos/{owner}/{repo}/actions/jobs/{number}")
async def get_job(access: ReadActions, number: int) -> JsonObject:
    """Show a job."""
    job = access.services.actions.find_job(number)
    if job is None:
        raise NotFound
    return _views(access).job(job, find_run(access, job.run_id))


@router.post("/repos/{owner}/{repo}/actions/runs/{number}/cancel", status_code=202)
@router.post("/repos/{owner}/{repo}/actions/runs/{number}/force-cancel", status_code=202)
async def cancel_run(access: WriteActions, number: int) -> JsonObject:
    """Ask a run to end."""
    run = find_run(access, number)
    if run.status == "completed":
        raise Conflict("Cannot cancel a workflow run that is completed.")
    access.services.runner.cancel(run.id)
    return {}


@router.post("/repos/{owner}/{repo}/actions/runs/{number}/rerun", status_code=201)
async def rerun(access: WriteActions, number: int) -> JsonObject:
    """Run all jobs of a finished run again."""
    run = find_run(access, number)
    if run.status != "completed" or run.message is not None:
        raise Conflict("This workflow run cannot be rerun now.")
    access.services.actions.restart_run(run.id, new_attempt=True)
    access.services.runner.submit(run.id)
    return {}


def find_run(access: Access, number: int) -> WorkflowRun:
    """Return a run of this repository; raises NotFound."""
    run = access.services.actions.find_run(number)
    if run is None or run.repository_id != access.repository.id:
        raise NotFound
    return run


def _run_list(access: Access, request: Request, page: WantedPage, wanted: Callable[[WorkflowRun], bool]) -> JsonObject:
    query = request.query_params
    runs = [run for run in access.services.actions.runs(access.repository.id) if wanted(run)]
    for name, column in (("event", "event"), ("branch", "head_branch"), ("head_sha", "head_sha")):
        if name in query:
            runs = [run for run in runs if getattr(run, column) == query[name]]
    if "status" in query:
        runs = [run for run in runs if query["status"] in (run.status, run.conclusion)]
    if "created" in query:
        created = created_filter(query["created"])
        runs = [run for run in runs if created(run.created_at)]
    return {"total_count": len(runs), "workflow_runs": [_views(access).run(run) for run in page.cut(runs)]}


def created_filter(text: str) -> Callable[[str], bool]:
    """Read GitHub's date syntax (`>=2026-01-01`, `2026-01-01..2026-02-01T10:00:00Z`, a day); raises Unprocessable."""
    if ".." in text:
        low, _, high = text.partition("..")
        start = None if low == "*" else _moment(low)[0]
        end = None if high == "*" else _moment(high)[1]
        return lambda value: (start is None or start <= _exact(value)) and (end is None or _exact(value) <= end)
    for sign, compare in COMPARISONS.items():
        if text.startswith(sign):
            moments = _moment(text.removeprefix(sign))
            return partial(_compared, compare, moments[sign in ("<=", ">")])
    first, last = _moment(text)
    return lambda value: first <= _exact(value) <= last


def _compared(compare: Callable[[datetime, datetime], bool], limit: datetime, value: str) -> bool:
    return compare(_exact(value), limit)


def _exact(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _moment(text: str) -> tuple[datetime, datetime]:
    """Return the first and last second a date or time means."""
    try:
        moment = datetime.fromisoformat(text.strip().replace(" ", "+"))
    except ValueError as error:
        raise Unprocessable(f"created is not a date: {text}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    whole_day = len(text.strip()) == len("2026-01-01")
    return moment, moment.replace(hour=23, minute=59, second=59) if whole_day else moment


def _views(access: Access) -> ActionViews:
    return ActionViews(Views(access.base_url), access.repository, access.services.bot.name)


async def _path(access: Access, workflow: str) -> str:
    """Return the path of a workflow that is on the default branch or has run before."""
    if workflow.isdecimal():
        known = access.services.actions.workflow_path(access.repository.id, int(workflow))
        if known is None:
            raise NotFound
        return known
    path = workflow if workflow.startswith(WORKFLOW_FOLDER) else WORKFLOW_FOLDER + workflow
    sha = await access.bare.commit_sha(access.repository.default_branch)
    if sha is not None and path in await workflow_paths(access.bare, sha):
        return path
    if any(run.path == path for run in access.services.actions.runs(access.repository.id)):
        return path
    raise NotFound


async def _workflow(access: Access, path: str) -> JsonObject:
    sha = await access.bare.commit_sha(access.repository.default_branch)
    text = None if sha is None else await workflow_text(access.bare, sha, path)
    try:
        name = parse_workflow(path, text or "").name
    except WorkflowError:
        name = path
    workflow_id = access.services.actions.workflow_id(access.repository.id, path)
    return _views(access).workflow(workflow_id, path, name)
