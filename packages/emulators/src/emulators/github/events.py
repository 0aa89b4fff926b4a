"""Turns changes of refs and pull requests into workflow runs.

Pushes are found by comparing the refs with those known before, so that one interrupted by a crash is still seen at the
next look. pull_request runs work on the head commit itself: GitHub would use the trial merge with the base.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from emulators.github.bare import BareRepository
from emulators.github.dispatch_inputs import as_event_text, checked_inputs
from emulators.github.errors import ExpressionError, NotFound, Unprocessable, WorkflowError
from emulators.github.models import Clock, JsonObject, PullRequest, Repository, WorkflowRun, timestamp
from emulators.github.runner.contexts import title_scope
from emulators.github.runner.expressions import interpolate
from emulators.github.runner.workflow import Workflow, parse_workflow, triggers_of
from emulators.github.tables.actions import ActionsTable, NewRun
from emulators.github.tables.pulls import PullTable
from emulators.github.tables.repositories import RepositoryTable
from emulators.github.views import Views

WORKFLOW_FOLDER = ".github/workflows/"
ZERO = "0" * 40
SKIP_WORDS = ("[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]")


@dataclass(frozen=True)
class Place:
    """Where something happened, and the address jobs use for this server."""

    repository: Repository
    bare: BareRepository
    server_url: str


@dataclass(frozen=True)
class Cause:
    """Why workflows may start: an event at a commit."""

    event: str
    ref: str
    branch: str
    sha: str
    title: str
    payload: JsonObject
    pull_number: int | None = None
    base: str | None = None


@dataclass(frozen=True)
class Events:
    """Sees what happened in a repository and submits the runs that follow from it."""

    clock: Clock
    actor: str
    repositories: RepositoryTable
    pulls: PullTable
    actions: ActionsTable
    submit: Callable[[int], None]
    _locks: dict[int, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def refs_changed(self, place: Place, *, quiet: bool = False) -> None:
        """Send the events of every ref that differs from what was known; quiet (a job's own push) starts no runs."""
        repository, bare = place.repository, place.bare
        async with self._locks[repository.id]:
            known, now = self.repositories.known_refs(repository.id), await bare.refs()
            if known == now:
                return
            changed = [name for name in now if known.get(name) != now[name]]
            runs: list[NewRun] = []
            for name in changed:
                cause = await self._push(place, name, known.get(name, ZERO), now[name])
                runs += await self._runs_for(place, cause)
            updates = await self._pull_updates(place, known, now)
            for pull, action in updates:
                if action == "synchronize":
                    cause = await self._pull_cause(place, pull, action)
                    runs += await self._runs_for(place, cause)
            with self.actions.database.transaction():
                self.repositories.remember_refs(repository.id, now)
                self.repositories.touch_pushed(repository.id)
                for pull, _ in updates:
                    self.pulls.update(pull)
                added = [] if quiet else [self.actions.add_run(run) for run in runs]
            for pull, _ in updates:
                await bare.update_ref(f"refs/pull/{pull.number}/head", pull.head_sha)
            self._start(added)

    async def pull_changed(self, place: Place, pull: PullRequest, action: str) -> None:
        """Send one pull_request event: opened, reopened, closed, edited …"""
        cause = await self._pull_cause(place, pull, action)
        runs = await self._runs_for(place, cause)
        with self.actions.database.transaction():
            added = [self.actions.add_run(run) for run in runs]
        self._start(added)

    async def dispatch(self, place: Place, path: str, ref: str, inputs: Mapping[str, object]) -> WorkflowRun:
        """Start one workflow by hand; raises NotFound or Unprocessable as GitHub answers."""
        bare = place.bare
        full = await _full_ref(bare, ref)
        sha = None if full is None else await bare.commit_sha(full)
        if full is None or sha is None:
            raise Unprocessable(f"No ref found for: {ref}")
        text = await workflow_text(bare, sha, path)
        if text is None:
            raise NotFound
        try:
            workflow = parse_workflow(path, text)
        except WorkflowError as error:
            raise Unprocessable(f"Failed to parse workflow: {error}") from error
        if workflow.triggers.dispatch is None:
            raise Unprocessable("Workflow does not have 'workflow_dispatch' trigger")
        values = checked_inputs(workflow.triggers.dispatch, inputs)
        payload: JsonObject = {
            **self._payload(place),
            "inputs": {name: as_event_text(value) for name, value in values.items()},
            "ref": full,
            "workflow": path,
        }
        branch = full.removeprefix("refs/heads/").removeprefix("refs/tags/")
        cause = Cause("workflow_dispatch", full, branch, sha, workflow.name, payload)
        run = self.actions.add_run(self._new_run(place, workflow, cause, values))
        self._start([run])
        return run

    def _start(self, runs: list[WorkflowRun]) -> None:
        for run in runs:
            if run.status == "queued":
                self.submit(run.id)

    async def _runs_for(self, place: Place, cause: Cause) -> list[NewRun]:
        bare = place.bare
        if cause.event == "push" and any(word in cause.title for word in SKIP_WORDS):
            return []
        runs = []
        for path in await workflow_paths(bare, cause.sha):
            text = await workflow_text(bare, cause.sha, path) or ""
            try:
                workflow = parse_workflow(path, text)
                if await self._fires(workflow, bare, cause):
                    runs.append(self._new_run(place, workflow, cause, {}))
            except WorkflowError as error:
                if _broken_fires(text, cause):
                    runs.append(_failed_run(place, path, cause, str(error)))
        return runs

    async def _fires(self, workflow: Workflow, bare: BareRepository, cause: Cause) -> bool:
        push, pull = workflow.triggers.push, workflow.triggers.pull_request
        if cause.event == "push" and push is not None and push.accepts(cause.ref):
            return push.paths.accept_any(await self._paths(bare, cause)) if push.paths.given else True
        if cause.event == "pull_request" and pull is not None:
            if not pull.accepts(str(cause.payload["action"]), _base(cause)):
                return False
            return pull.paths.accept_any(await self._paths(bare, cause)) if pull.paths.given else True
        return False

    async def _paths(self, bare: BareRepository, cause: Cause) -> list[str]:
        old = cause.payload.get("before")
        if cause.base is not None:
            old = await bare.merge_base(cause.base, cause.sha)
        if not isinstance(old, str) or old == ZERO:
            old = await bare.empty_tree()
        return await bare.changed_paths(old, cause.sha)

    def _new_run(self, place: Place, workflow: Workflow, cause: Cause, inputs: Mapping[str, object]) -> NewRun:
        new = NewRun(
            repository_id=place.repository.id,
            path=workflow.path,
            name=workflow.name,
            event=cause.event,
            ref=cause.ref,
            head_branch=cause.branch,
            head_sha=cause.sha,
            display_title=cause.title.splitlines()[0] if cause.title else workflow.name,
            inputs=inputs,
            payload=cause.payload,
            server_url=place.server_url,
            pull_number=cause.pull_number,
        )
        if workflow.run_name is None:
            return new
        try:
            title = interpolate(workflow.run_name, title_scope(new, place.repository, self.actor))
        except ExpressionError as error:
            return replace(new, message=f"run-name: {error}")
        return replace(new, display_title=title.strip() or new.display_title)

    def _payload(self, place: Place) -> JsonObject:
        views = Views(place.server_url)
        return {"repository": views.repository(place.repository), "sender": views.bot(self.actor)}

    async def _push(self, place: Place, ref: str, before: str, after: str) -> Cause:
        commit = await place.bare.commit(after)
        payload: JsonObject = {
            **self._payload(place),
            "ref": ref,
            "before": before,
            "after": after,
            "created": before == ZERO,
            "pusher": {"name": self.actor},
            "head_commit": {
                "id": after,
                "message": commit.message,
                "timestamp": commit.committer.date,
                "author": {"name": commit.author.name, "email": commit.author.email},
            },
        }
        branch = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
        return Cause("push", ref, branch, after, commit.message, payload)

    async def _pull_cause(self, place: Place, pull: PullRequest, action: str) -> Cause:
        views = Views(place.server_url)
        shown = {**views.pull(pull, place.repository, self.actor), "merged": pull.merged_at is not None}
        payload: JsonObject = {
            **self._payload(place),
            "action": action,
            "number": pull.number,
            "pull_request": shown,
        }
        base = await place.bare.commit_sha(f"refs/heads/{pull.base_ref}") or pull.base_sha
        ref = f"refs/pull/{pull.number}/merge"
        return Cause("pull_request", ref, pull.head_ref, pull.head_sha, pull.title, payload, pull.number, base)

    async def _pull_updates(
        self, place: Place, known: Mapping[str, str], now: Mapping[str, str]
    ) -> list[tuple[PullRequest, str]]:
        updates: list[tuple[PullRequest, str]] = []
        stamp = timestamp(self.clock())
        for pull in self.pulls.open(place.repository.id):
            head, base = now.get(f"refs/heads/{pull.head_ref}"), now.get(f"refs/heads/{pull.base_ref}")
            base_moved = base is not None and known.get(f"refs/heads/{pull.base_ref}") != base
            if base is not None and base_moved and await place.bare.is_ancestor(head or pull.head_sha, base):
                merged = replace(pull, state="closed", closed_at=stamp, merged_at=stamp, merge_sha=base)
                updates.append((merged, "closed"))
            elif head is None or base is None:
                updates.append((replace(pull, state="closed", closed_at=stamp), "closed"))
            elif head != pull.head_sha:
                updates.append((replace(pull, head_sha=head), "synchronize"))
        return updates


async def workflow_paths(bare: BareRepository, sha: str) -> list[str]:
    """Name the workflow files of a commit."""
    entries = await bare.tree(sha, WORKFLOW_FOLDER)
    return [entry.path for entry in entries if entry.type == "blob" and entry.path.endswith((".yml", ".yaml"))]


async def workflow_text(bare: BareRepository, sha: str, path: str) -> str | None:
    """Return a workflow file at a commit, None when it is absent."""
    entries = await bare.tree(sha, path)
    if len(entries) != 1 or entries[0].type != "blob" or entries[0].path != path:
        return None
    return (await bare.blob(entries[0].sha)).decode(errors="replace")


def _failed_run(place: Place, path: str, cause: Cause, message: str) -> NewRun:
    return NewRun(
        repository_id=place.repository.id,
        path=path,
        name=path,
        event=cause.event,
        ref=cause.ref,
        head_branch=cause.branch,
        head_sha=cause.sha,
        display_title=cause.title.splitlines()[0] if cause.title else path,
        inputs={},
        payload=cause.payload,
        server_url=place.server_url,
        pull_number=cause.pull_number,
        message=message,
    )


def _base(cause: Cause) -> str:
    pull = cause.payload["pull_request"]
    assert isinstance(pull, dict)
    base: str = pull["base"]["ref"]
    return base


def _broken_fires(text: str, cause: Cause) -> bool:
    triggers = triggers_of(text)
    if triggers is None:
        return cause.event == "push"
    if cause.event == "push":
        return triggers.push is not None and triggers.push.accepts(cause.ref)
    pull = triggers.pull_request
    return pull is not None and pull.accepts(str(cause.payload["action"]), _base(cause))


async def _full_ref(bare: BareRepository, ref: str) -> str | None:
    names = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    for name in names:
        if await bare.ref_object(name) is not None:
            return name
    return None
