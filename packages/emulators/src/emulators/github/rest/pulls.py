"""Pull requests: open, list, show, change, their files, and the merge."""

from dataclasses import dataclass, replace

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from emulators.github.auth import Access, ReadPulls, WriteContents, WritePulls
from emulators.github.errors import Conflict, GitError, NotAllowed, NotFound, Unprocessable
from emulators.github.merge import METHODS, Merge, merged_tree
from emulators.github.models import JsonObject, PullRequest, timestamp
from emulators.github.rest.pages import WantedPage
from emulators.github.services import COMMITTER
from emulators.github.views import Views

router = APIRouter()


class NewPull(BaseModel):
    """A pull request to open; head may be given as owner:branch."""

    title: str
    head: str
    base: str
    body: str | None = None
    draft: bool = False
    maintainer_can_modify: bool = True


class PullChange(BaseModel):
    """What of a pull request is to change."""

    title: str | None = None
    body: str | None = None
    state: str | None = None
    base: str | None = None


class MergeWish(BaseModel):
    """How to merge; sha is what the head must still be."""

    commit_title: str | None = None
    commit_message: str | None = None
    sha: str | None = None
    merge_method: str = "merge"


@dataclass(frozen=True)
class Verdict:
    """Whether and why (not) a pull request can be merged, in GitHub's words."""

    mergeable: bool
    state: str
    blocker: str | None = None


@router.post("/repos/{owner}/{repo}/pulls", status_code=201)
async def open_pull(access: WritePulls, body: NewPull) -> JsonObject:
    """Open a pull request between two branches of this repository."""
    services, repository = access.services, access.repository
    owner, colon, branch = body.head.rpartition(":")
    if colon and owner.lower() != repository.owner.lower():
        raise Unprocessable.validation("PullRequest", "invalid", field="head")
    head = await access.bare.commit_sha(f"refs/heads/{branch}")
    base = await access.bare.commit_sha(f"refs/heads/{body.base}")
    for sha, field in ((head, "head"), (base, "base")):
        if sha is None:
            raise Unprocessable.validation("PullRequest", "invalid", field=field)
    assert head is not None
    assert base is not None
    if await access.bare.is_ancestor(head, base):
        message = f"No commits between {body.base} and {branch}"
        raise Unprocessable.validation("PullRequest", "custom", message=message)
    if await access.bare.merge_base(base, head) is None:
        message = f"The {branch} branch has no history in common with {body.base}"
        raise Unprocessable.validation("PullRequest", "custom", message=message)
    for other in services.pulls.open(repository.id):
        if (other.head_ref, other.base_ref) == (branch, body.base):
            message = f"A pull request already exists for {repository.owner}:{branch}."
            raise Unprocessable.validation("PullRequest", "custom", message=message)
    with services.database.transaction():
        number = services.repositories.take_number(repository.id)
        pull = services.pulls.add(_new(repository.id, number, body, branch, (head, base)))
    await access.bare.update_ref(f"refs/pull/{number}/head", head)
    await services.events.pull_changed(access.place, pull, "opened")
    return await _shown(access, pull)


@router.get("/repos/{owner}/{repo}/pulls")
async def list_pulls(
    access: ReadPulls, page: WantedPage, state: str = "open", head: str | None = None, base: str | None = None,
    direction: str | None = None, sort: str = "created",
) -> list[JsonObject]:  # fmt: skip
    """List pull requests, newest first unless direction says otherwise."""
    pulls = access.services.pulls.all(access.repository.id)
    if state != "all":
        pulls = [pull for pull in pulls if pull.state == state]
    if head is not None:
        pulls = [pull for pull in pulls if head.lower() == f"{access.repository.owner}:{pull.head_ref}".lower()]
    if base is not None:
        pulls = [pull for pull in pulls if pull.base_ref == base]
    if sort == "updated":
        pulls.sort(key=lambda pull: pull.updated_at, reverse=True)
    if direction == "asc":
        pulls.reverse()
    views = Views(access.base_url)
    return [views.pull(pull, access.repository, access.services.bot.name) for pull in page.cut(pulls)]


@router.get("/repos/{owner}/{repo}/pulls/{number}")
async def get_pull(access: ReadPulls, request: Request, number: int) -> Response:
    """Show a pull request with its mergeability, or its diff when asked."""
    pull = _pull(access, number)
    if "diff" in request.headers.get("accept", ""):
        ancestor = await access.bare.merge_base(pull.base_sha, pull.head_sha) or pull.base_sha
        data = await access.bare.diff(ancestor, pull.head_sha)
        return Response(data, media_type="application/vnd.github.diff; charset=utf-8")
    return JSONResponse(await _shown(access, pull))


@router.patch("/repos/{owner}/{repo}/pulls/{number}")
async def change_pull(access: WritePulls, number: int, body: PullChange) -> JsonObject:
    """Change title, body, base or state."""
    services, pull = access.services, _pull(access, number)
    if body.state not in (None, "open", "closed"):
        raise Unprocessable.validation("PullRequest", "invalid", field="state")
    changed = replace(
        pull,
        title=body.title or pull.title,
        body=body.body if "body" in body.model_fields_set else pull.body,
        state=body.state or pull.state,
    )
    if body.base is not None and body.base != pull.base_ref:
        base = await access.bare.commit_sha(f"refs/heads/{body.base}")
        if base is None:
            raise Unprocessable.validation("PullRequest", "invalid", field="base")
        changed = replace(changed, base_ref=body.base, base_sha=base)
    action = "edited"
    if changed.state != pull.state:
        if pull.merged_at is not None:
            raise Unprocessable.validation("PullRequest", "invalid", field="state")
        action = "reopened" if changed.state == "open" else "closed"
        head = await access.bare.commit_sha(f"refs/heads/{pull.head_ref}")
        if action == "reopened" and head is None:
            message = f"state cannot be changed. The {pull.head_ref} branch has been deleted."
            raise Unprocessable.validation("PullRequest", "custom", field="state", message=message)
        closed_at = None if action == "reopened" else timestamp(services.clock())
        changed = replace(changed, closed_at=closed_at, head_sha=head or pull.head_sha)
    saved = services.pulls.update(changed)
    await services.events.pull_changed(access.place, saved, action)
    return await _shown(access, saved)


@router.get("/repos/{owner}/{repo}/pulls/{number}/files")
async def list_files(access: ReadPulls, page: WantedPage, number: int) -> list[JsonObject]:
    """List the files a pull request changes."""
    pull = _pull(access, number)
    ancestor = await access.bare.merge_base(pull.base_sha, pull.head_sha) or pull.base_sha
    views, changes = Views(access.base_url), await access.bare.changes(ancestor, pull.head_sha)
    return [views.file(change, access.repository, pull.head_sha) for change in page.cut(changes)]


@router.get("/repos/{owner}/{repo}/pulls/{number}/commits")
async def list_pull_commits(access: ReadPulls, page: WantedPage, number: int) -> list[JsonObject]:
    """List the commits of a pull request."""
    pull = _pull(access, number)
    commits = await access.bare.commits("--reverse", f"{pull.base_sha}..{pull.head_sha}")
    return [Views(access.base_url).commit(commit, access.repository) for commit in page.cut(commits)]


@router.get("/repos/{owner}/{repo}/pulls/{number}/merge", status_code=204)
async def is_merged(access: ReadPulls, number: int) -> None:
    """204 when merged, else 404."""
    if _pull(access, number).merged_at is None:
        raise NotFound


@router.put("/repos/{owner}/{repo}/pulls/{number}/merge")
async def merge_pull(access: WriteContents, number: int, body: MergeWish | None = None) -> JsonObject:
    """Merge with git: 405 when it cannot be merged, 409 when head or base moved."""
    services, bare, wish = access.services, access.bare, body or MergeWish()
    pull = _pull(access, number)
    if wish.merge_method not in METHODS:
        raise Unprocessable.validation("PullRequest", "invalid", field="merge_method")
    base = await bare.commit_sha(f"refs/heads/{pull.base_ref}")
    if pull.state != "open" or pull.draft or base is None:
        raise NotAllowed("Pull Request is still a draft" if pull.draft else "Pull Request is not mergeable")
    if wish.sha is not None and wish.sha != pull.head_sha:
        raise Conflict("Head branch was modified. Review and try the merge again.")
    _check_method(access, wish.merge_method)
    verdict = await _verdict(access, pull, base)
    if not verdict.mergeable or verdict.blocker is not None:
        raise NotAllowed(verdict.blocker or "Pull Request is not mergeable")
    merge = Merge(base, pull.head_sha, _message(access, pull, wish), services.bot, COMMITTER)
    sha = await METHODS[wish.merge_method](bare, merge)
    if sha is None:
        raise NotAllowed("This branch can't be rebased" if wish.merge_method == "rebase" else "Merge conflict")
    try:
        await bare.update_ref(f"refs/heads/{pull.base_ref}", sha, base)
    except GitError as error:
        raise Conflict("Base branch was modified. Review and try the merge again.") from error
    now = timestamp(services.clock())
    merged = replace(pull, state="closed", closed_at=now, merged_at=now, merge_sha=sha)
    saved = services.pulls.update(merged)
    if access.repository.settings["delete_branch_on_merge"]:
        await bare.delete_ref(f"refs/heads/{pull.head_ref}")
    await services.events.refs_changed(access.place)
    await services.events.pull_changed(access.place, saved, "closed")
    return {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}


def _new(repository_id: int, number: int, body: NewPull, branch: str, shas: tuple[str, str]) -> PullRequest:
    return PullRequest(
        id=0, repository_id=repository_id, number=number, title=body.title, body=body.body, state="open",
        draft=body.draft, head_ref=branch, base_ref=body.base, head_sha=shas[0], base_sha=shas[1], created_at="",
        updated_at="", closed_at=None, merged_at=None, merge_sha=None,
    )  # fmt: skip


def _pull(access: Access, number: int) -> PullRequest:
    pull = access.services.pulls.find(access.repository.id, number)
    if pull is None:
        raise NotFound
    return pull


async def _shown(access: Access, pull: PullRequest) -> JsonObject:
    views, merged = Views(access.base_url), pull.merged_at is not None
    base = await access.bare.commit_sha(f"refs/heads/{pull.base_ref}")
    verdict = Verdict(False, "unknown")
    if pull.state == "open" and base is not None:
        verdict = await _verdict(access, pull, base)
    ancestor = await access.bare.merge_base(pull.base_sha, pull.head_sha) or pull.base_sha
    changes = await access.bare.changes(ancestor, pull.head_sha)
    commits = await access.bare.commits(f"{pull.base_sha}..{pull.head_sha}")
    return {
        **views.pull(pull, access.repository, access.services.bot.name),
        "merged": merged,
        "mergeable": verdict.mergeable if pull.state == "open" else None,
        "mergeable_state": verdict.state,
        "rebaseable": verdict.mergeable if pull.state == "open" else None,
        "merged_by": views.bot(access.services.bot.name) if merged else None,
        "comments": 0,
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": len(commits),
        "additions": sum(change.additions for change in changes),
        "deletions": sum(change.deletions for change in changes),
        "changed_files": len(changes),
    }


async def _verdict(access: Access, pull: PullRequest, base: str) -> Verdict:
    if await merged_tree(access.bare, base, pull.head_sha) is None:
        return Verdict(False, "dirty")
    if pull.draft:
        return Verdict(True, "draft", "Pull Request is still a draft")
    actions, repositories, row_id = access.services.actions, access.services.repositories, access.repository.id
    states = {status.context: status.state for status in reversed(repositories.statuses(row_id, pull.head_sha))}
    for _, job in reversed(actions.jobs_at(row_id, pull.head_sha)):
        states[job.name] = job.conclusion or "pending"
    good = ("success", "skipped", "neutral")
    for context in _required(access, pull.base_ref):
        if states.get(context) not in good:
            state = states.get(context, "expected")
            return Verdict(True, "blocked", f'Required status check "{context}" is {state}.')
    red = any(state not in good for state in states.values())
    broken = any(run.message for run in actions.runs_at(row_id, pull.head_sha))
    return Verdict(True, "unstable" if red or broken else "clean")


def _required(access: Access, branch: str) -> list[str]:
    body = access.services.repositories.protection(access.repository.id, branch) or {}
    checks = body.get("required_status_checks")
    if not isinstance(checks, dict):
        return []
    named = [item["context"] for item in checks.get("checks") or () if isinstance(item, dict) and "context" in item]
    return [str(context) for context in [*(checks.get("contexts") or ()), *named]]


def _check_method(access: Access, method: str) -> None:
    setting = {"merge": "allow_merge_commit", "squash": "allow_squash_merge", "rebase": "allow_rebase_merge"}[method]
    if not access.repository.settings[setting]:
        raise NotAllowed(f"{method.capitalize()} merges are not allowed on this repository.")


def _message(access: Access, pull: PullRequest, wish: MergeWish) -> str:
    if wish.merge_method == "squash":
        title, text = f"{pull.title} (#{pull.number})", pull.body or ""
    else:
        title = f"Merge pull request #{pull.number} from {access.repository.owner}/{pull.head_ref}"
        text = pull.title
    title = wish.commit_title or title
    text = wish.commit_message if wish.commit_message is not None else text
    return f"{title}\n\n{text}".rstrip() + "\n"
