"""Commits, comparisons, and what checks and statuses say about a commit."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from emulators.github.action_views import ActionViews
from emulators.github.auth import Access, ReadChecks, ReadContents, ReadStatuses, WriteStatuses
from emulators.github.errors import Conflict, NotFound, Unprocessable
from emulators.github.models import JsonObject, Status
from emulators.github.rest.pages import WantedPage
from emulators.github.views import Views

router = APIRouter()

STATES = ("error", "failure", "pending", "success")


class NewStatus(BaseModel):
    """A commit status to set."""

    state: str
    context: str = "default"
    description: str | None = None
    target_url: str | None = None


@router.get("/repos/{owner}/{repo}/commits/{ref:path}/check-runs")
async def list_check_runs(
    access: ReadChecks, page: WantedPage, ref: str, check_name: str | None = None, status: str | None = None
) -> JsonObject:
    """List the check runs of a commit: the jobs of its workflow runs."""
    sha = await _commit(access, ref)
    views = ActionViews(Views(access.base_url), access.repository, access.services.bot.name)
    pairs = access.services.actions.jobs_at(access.repository.id, sha)
    if check_name is not None:
        pairs = [pair for pair in pairs if pair[1].name == check_name]
    if status is not None:
        pairs = [pair for pair in pairs if pair[1].status == status]
    return {"total_count": len(pairs), "check_runs": [views.check_run(job, run) for run, job in page.cut(pairs)]}


@router.get("/repos/{owner}/{repo}/commits/{ref:path}/check-suites")
async def list_check_suites(access: ReadChecks, page: WantedPage, ref: str) -> JsonObject:
    """List the workflow runs of a commit as check suites, those without a single job included."""
    sha = await _commit(access, ref)
    views = ActionViews(Views(access.base_url), access.repository, access.services.bot.name)
    runs, commit = access.services.actions.runs_at(access.repository.id, sha), await access.bare.commit(sha)
    jobs = access.services.actions.jobs
    suites = [views.check_suite(run, commit, len(jobs(run.id))) for run in page.cut(runs)]
    return {"total_count": len(runs), "check_suites": suites}


@router.get("/repos/{owner}/{repo}/check-runs/{number}")
async def get_check_run(access: ReadChecks, number: int) -> JsonObject:
    """Show one check run."""
    job = access.services.actions.find_job(number)
    run = None if job is None else access.services.actions.find_run(job.run_id)
    if job is None or run is None or run.repository_id != access.repository.id:
        raise NotFound
    return ActionViews(Views(access.base_url), access.repository, access.services.bot.name).check_run(job, run)


@router.get("/repos/{owner}/{repo}/commits/{ref:path}/status")
async def combined_status(access: ReadStatuses, ref: str) -> JsonObject:
    """Combine the statuses of a commit; check runs do not count here."""
    sha = await _commit(access, ref)
    statuses = access.services.repositories.statuses(access.repository.id, sha)
    return {
        "state": _combined(statuses),
        "statuses": [_status(access, status) for status in statuses],
        "sha": sha,
        "total_count": len(statuses),
        "repository": Views(access.base_url).repository(access.repository),
        "commit_url": f"{Views(access.base_url).repository_url(access.repository)}/commits/{sha}",
        "url": f"{Views(access.base_url).repository_url(access.repository)}/commits/{sha}/status",
    }


@router.post("/repos/{owner}/{repo}/statuses/{sha}", status_code=201)
async def set_status(access: WriteStatuses, sha: str, body: NewStatus) -> JsonObject:
    """Set a status of a commit."""
    if body.state not in STATES:
        raise Unprocessable.validation("Status", "custom", field="state", message="state is not included in the list")
    if await access.bare.commit_sha(sha) != sha:
        raise Unprocessable(f"No commit found for SHA: {sha}")
    about = {"description": body.description, "target_url": body.target_url}
    status = access.services.repositories.add_status(access.repository.id, sha, body.context, body.state, about)
    return {**_status(access, status), "creator": Views(access.base_url).bot(access.services.bot.name)}


@router.get("/repos/{owner}/{repo}/commits")
async def list_commits(access: ReadContents, page: WantedPage, sha: str | None = None) -> list[JsonObject]:
    """List commits from a branch or sha backwards."""
    start = await access.bare.commit_sha(sha or access.repository.default_branch)
    if start is None:
        if not await access.bare.refs():
            raise Conflict("Git Repository is empty.")
        raise NotFound
    views = Views(access.base_url)
    return [views.commit(commit, access.repository) for commit in page.cut(await access.bare.commits(start))]


@router.get("/repos/{owner}/{repo}/commits/{ref:path}")
async def get_commit(access: ReadContents, request: Request, ref: str) -> Response:
    """Show a commit with its files, or as a diff when asked."""
    sha = await _commit(access, ref)
    commit = await access.bare.commit(sha)
    parent = commit.parents[0] if commit.parents else await access.bare.empty_tree()
    if _wants_diff(request):
        return _diff(await access.bare.diff(parent, sha))
    if "sha" in request.headers.get("accept", ""):
        return Response(sha, media_type="application/vnd.github.sha")
    views = Views(access.base_url)
    changes = await access.bare.changes(parent, sha)
    added, removed = sum(item.additions for item in changes), sum(item.deletions for item in changes)
    return JSONResponse(
        {
            **views.commit(commit, access.repository),
            "stats": {"additions": added, "deletions": removed, "total": added + removed},
            "files": [views.file(change, access.repository, sha) for change in changes],
        }
    )


@router.get("/repos/{owner}/{repo}/compare/{basehead:path}")
async def compare(access: ReadContents, request: Request, basehead: str) -> Response:
    """Compare base...head from their common ancestor, or return that diff when asked."""
    base_name, dots, head_name = basehead.partition("...")
    base = await access.bare.commit_sha(base_name.rpartition(":")[2])
    head = await access.bare.commit_sha(head_name.rpartition(":")[2])
    if not dots or base is None or head is None:
        raise NotFound
    ancestor = await access.bare.merge_base(base, head)
    if ancestor is None:
        raise NotFound(f"No common ancestor between {base_name} and {head_name}.")
    if _wants_diff(request):
        return _diff(await access.bare.diff(ancestor, head))
    ahead, behind = await access.bare.ahead_behind(base, head)
    states = {(False, False): "identical", (True, False): "ahead", (False, True): "behind", (True, True): "diverged"}
    views, repository = Views(access.base_url), access.repository
    commits = await access.bare.commits("--reverse", f"{base}..{head}")
    changes = await access.bare.changes(ancestor, head)
    html = f"{access.base_url}/{repository.full_name}/compare/{basehead}"
    return JSONResponse(
        {
            "url": f"{views.repository_url(repository)}/compare/{basehead}",
            "html_url": html,
            "permalink_url": f"{access.base_url}/{repository.full_name}/compare/{base}...{head}",
            "diff_url": f"{html}.diff",
            "patch_url": f"{html}.patch",
            "status": states[bool(ahead), bool(behind)],
            "ahead_by": ahead,
            "behind_by": behind,
            "total_commits": len(commits),
            "base_commit": views.commit(await access.bare.commit(base), repository),
            "merge_base_commit": views.commit(await access.bare.commit(ancestor), repository),
            "commits": [views.commit(commit, repository) for commit in commits[:250]],
            "files": [views.file(change, repository, head) for change in changes[:300]],
        }
    )


def _wants_diff(request: Request) -> bool:
    return "diff" in request.headers.get("accept", "") or "patch" in request.headers.get("accept", "")


def _diff(data: bytes) -> Response:
    return Response(data, media_type="application/vnd.github.diff; charset=utf-8")


async def _commit(access: Access, ref: str) -> str:
    sha = await access.bare.commit_sha(ref.removeprefix("heads/").removeprefix("tags/"))
    if sha is None:
        if not await access.bare.refs():
            raise Conflict("Git Repository is empty.")
        raise Unprocessable(f"No commit found for SHA: {ref}")
    return sha


def _combined(statuses: Sequence[Status]) -> str:
    states = {status.state for status in statuses}
    if states & {"error", "failure"}:
        return "failure"
    return "success" if states == {"success"} else "pending"


def _status(access: Access, status: Status) -> JsonObject:
    return {
        "id": status.id,
        "node_id": f"S_{status.id}",
        "url": f"{Views(access.base_url).repository_url(access.repository)}/statuses/{status.sha}",
        "avatar_url": None,
        "state": status.state,
        "context": status.context,
        "description": status.description,
        "target_url": status.target_url,
        "created_at": status.created_at,
        "updated_at": status.created_at,
    }
