"""Logs and artifacts. As on GitHub, the API answers with a redirect to a signed address that takes no credentials."""

import asyncio
import hashlib
import hmac
import io
import zipfile
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, RedirectResponse, Response

from emulators.github.action_views import ActionViews
from emulators.github.auth import Access, ReadActions
from emulators.github.errors import Forbidden, NotFound
from emulators.github.models import JsonObject
from emulators.github.rest.actions import find_run
from emulators.github.rest.pages import WantedPage
from emulators.github.runner.jobs import safe_file_name
from emulators.github.services import Services, services_of
from emulators.github.views import Views

router = APIRouter()

LINK_SECONDS = 60


@router.get("/repos/{owner}/{repo}/actions/jobs/{number}/logs")
async def job_logs(access: ReadActions, number: int) -> Response:
    """Redirect to the text of a finished job's log."""
    job = access.services.actions.find_job(number)
    if job is None or find_run(access, job.run_id).repository_id != access.repository.id:
        raise NotFound
    if job.status != "completed" or not access.services.runner.parts.log_path(job.id).exists():
        raise NotFound
    return _redirect(access, f"logs/{job.id}.txt")


@router.get("/repos/{owner}/{repo}/actions/runs/{number}/logs")
async def run_logs(access: ReadActions, number: int) -> Response:
    """Redirect to a zip with one text per job of a finished run."""
    run = find_run(access, number)
    if run.status != "completed" or not access.services.actions.jobs(run.id):
        raise NotFound
    return _redirect(access, f"runs/{run.id}.zip")


@router.get("/repos/{owner}/{repo}/actions/runs/{number}/artifacts")
async def list_artifacts(access: ReadActions, page: WantedPage, number: int) -> JsonObject:
    """List the artifacts of a run."""
    run = find_run(access, number)
    views = ActionViews(Views(access.base_url), access.repository, access.services.bot.name)
    artifacts = access.services.actions.artifacts(run.id)
    return {"total_count": len(artifacts), "artifacts": [views.artifact(item, run) for item in page.cut(artifacts)]}


@router.get("/repos/{owner}/{repo}/actions/artifacts/{number}/zip")
async def artifact_zip(access: ReadActions, number: int) -> Response:
    """Redirect to an artifact's archive."""
    artifact = access.services.actions.find_artifact(number)
    if artifact is None:
        raise NotFound
    find_run(access, artifact.run_id)
    return _redirect(access, f"artifacts/{artifact.id}.zip")


@router.get("/_results/{kind}/{name}")
async def result(request: Request, kind: str, name: str, expires: int, signature: str) -> Response:
    """Serve what a signed address names."""
    services = services_of(request)
    wanted = _signature(services, f"{kind}/{name}", expires)
    if expires < services.clock() or not hmac.compare_digest(signature, wanted):
        raise Forbidden("Signature not valid in the specified time frame")
    parts = services.runner.parts
    if kind == "runs":
        archive = await asyncio.to_thread(_archive, _job_logs(services, int(name.removesuffix(".zip"))))
        return Response(archive, media_type="application/zip")
    path = (parts.logs if kind == "logs" else parts.artifacts) / name
    if not path.is_file():
        raise NotFound
    return FileResponse(path, media_type="text/plain; charset=utf-8" if kind == "logs" else "application/zip")


def _redirect(access: Access, name: str) -> Response:
    expires = int(access.services.clock()) + LINK_SECONDS
    signature = _signature(access.services, name, expires)
    return RedirectResponse(f"{access.base_url}/_results/{name}?expires={expires}&signature={signature}", 302)


def _signature(services: Services, name: str, expires: int) -> str:
    return hmac.new(services.link_key, f"{name}:{expires}".encode(), hashlib.sha256).hexdigest()


def _job_logs(services: Services, run_id: int) -> list[tuple[str, Path]]:
    named = []
    for position, job in enumerate(services.actions.jobs(run_id)):
        path = services.runner.parts.log_path(job.id)
        if path.exists():
            named.append((f"{position}_{safe_file_name(job.name)}.txt", path))
    return named


def _archive(files: list[tuple[str, Path]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in files:
            archive.write(path, name)
    return buffer.getvalue()
