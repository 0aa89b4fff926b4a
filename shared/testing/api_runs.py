"""Runs in memory: the state machine, fences, leases, events without gaps, evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from shared.contracts.dto.work import (
    EvidenceCreate,
    EvidenceDTO,
    RunClaim,
    RunCreate,
    RunDTO,
    RunEventAppend,
    RunEventDTO,
    RunFacts,
    RunRelease,
    RunRenew,
    TransitionRequest,
)
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.run_machine import TERMINAL_STATES, JobStateError, RunState, get_next_state
from shared.contracts.run_policy import (
    ProjectFacts,
    code_attempts_after,
    missing_evidence,
    project_status_in,
    review_rounds_after,
    task_status_in,
)
from shared.contracts.vocabulary import RunEventType, WaitingReason, WaitKind
from shared.testing.api_store import FakeApiStore, found, refused
from shared.testing.api_work import FINAL_TASKS

NOT_WAITING: dict[str, Any] = {
    "waiting_reason": None,
    "waiting_until": None,
    "wait_kind": None,
    "wait_key": None,
    "wake_at": None,
}
NO_LEASE: dict[str, Any] = {"lease_owner": None, "lease_expires_at": None}


class FakeRuns(FakeApiStore):
    """Every check of the real api in the same order, so that callers meet the same refusals."""

    async def create_run(self, body: RunCreate) -> RunDTO:
        task = found(self.tasks, body.task_id, "task")
        if (known := self.run_keys.get((task.id, body.key))) is not None:
            return self.runs[known]
        if task.status in FINAL_TASKS:
            raise refused("task_final", f"the task is {task.status}")
        now = self.now()
        is_busy = any(
            (row.project_id, row.kind) == (task.project_id, task.type) and row.state not in TERMINAL_STATES
            for row in self.runs.values()
        )
        row = RunDTO(
            id=self.new_id(),
            task_id=task.id,
            project_id=task.project_id,
            owner_id=task.owner_id,
            kind=task.type,
            state=RunState.QUEUED,
            version=1,
            reason=None,
            facts=RunFacts(),
            code_attempts=0,
            review_rounds=0,
            waiting_reason=WaitingReason.PROJECT_BUSY if is_busy else None,
            waiting_until=None,
            wait_kind=None,
            wait_key=None,
            wake_at=None,
            cancel_requested=False,
            lease_owner=None,
            lease_expires_at=None,
            fence=0,
            last_seq=0,
            correlation_id=task.correlation_id,
            created_at=now,
            updated_at=now,
            finished_at=None,
        )
        self.runs[row.id] = row
        self.run_keys[(task.id, body.key)] = row.id
        self.events[row.id] = []
        events = [RunEventAppend(type=RunEventType.RUN_STARTED, payload=RunEventPayload(state=row.state))]
        if is_busy:
            events.append(_waiting(WaitingReason.PROJECT_BUSY))
        return await self._store(row, events)

    async def get_run(self, run_id: str) -> RunDTO:
        return found(self.runs, run_id, "run")

    async def list_runs(
        self,
        *,
        task_id: str | None = None,
        project_id: str | None = None,
        owner_id: str | None = None,
        is_final: bool | None = None,
        wait_kind: WaitKind | None = None,
        is_due: bool | None = None,
        has_live_lease: bool | None = None,
    ) -> list[RunDTO]:
        now = self.now()
        return [
            row
            for row in self.runs.values()
            if task_id in (None, row.task_id)
            and project_id in (None, row.project_id)
            and owner_id in (None, row.owner_id)
            and is_final in (None, row.state in TERMINAL_STATES)
            and wait_kind in (None, row.wait_kind)
            and is_due in (None, row.wake_at is None or row.wake_at <= now)
            and has_live_lease in (None, self._has_live_lease(row))
        ]

    async def claim_run(self, run_id: str, body: RunClaim) -> RunDTO:
        row = found(self.runs, run_id, "run")
        if row.state in TERMINAL_STATES:
            raise refused("already_final", f"the run is {row.state}")
        if self._has_live_lease(row) and row.lease_owner != body.owner:
            raise refused("lease_held", f"{row.lease_owner} holds the run")
        older = next((other for other in self.runs.values() if _is_rival(other, row)), row)
        if older.id != row.id and not row.cancel_requested:
            raise refused("project_busy", f"run {older.id} of the project is not finished")
        return await self._store(
            row,
            lease_owner=body.owner,
            lease_expires_at=self.now() + timedelta(seconds=body.ttl_seconds),
            fence=row.fence + 1,
        )

    async def renew_run(self, run_id: str, body: RunRenew) -> RunDTO:
        row = found(self.runs, run_id, "run")
        if row.fence != body.fence:
            raise _stale(row, body.fence)
        if row.state in TERMINAL_STATES:
            return row
        if row.lease_owner != body.owner:
            raise _stale(row, body.fence)
        return await self._store(row, lease_expires_at=self.now() + timedelta(seconds=body.ttl_seconds))

    async def release_run(self, run_id: str, body: RunRelease) -> RunDTO:
        row = found(self.runs, run_id, "run")
        if row.fence != body.fence or row.lease_owner not in (None, body.owner):
            raise _stale(row, body.fence)
        if row.lease_owner is None:
            return row
        events = []
        if body.waiting_reason is not None and body.waiting_reason is not row.waiting_reason:
            events.append(_waiting(body.waiting_reason))
        if body.waiting_reason is None and row.waiting_reason is not None:
            events.append(_resumed(row.waiting_reason))
        waits = {name: getattr(body, name) for name in NOT_WAITING}
        if row.cancel_requested:
            waits["wake_at"] = None
        return await self._store(row, events, **NO_LEASE, **waits)

    async def transition(self, run_id: str, body: TransitionRequest) -> RunDTO:
        row = found(self.runs, run_id, "run")
        if (run_id, f"transition:{body.key}") in self.event_keys:
            return row
        if row.state in TERMINAL_STATES:
            if self.last_events.get(run_id) == body.event:
                return row
            raise refused("already_final", f"the run is {row.state}")
        if row.fence != body.fence:
            raise _stale(row, body.fence)
        try:
            state = get_next_state(row.state, body.event, row.kind)
        except JobStateError as error:
            raise refused(error.code, str(error)) from error
        if missing := missing_evidence(body.event, await self.list_evidence(run_id)):
            raise refused("evidence_missing", "not seen yet: " + ", ".join(missing))
        return await self._enter(row, state, body)

    async def _enter(self, row: RunDTO, state: RunState, body: TransitionRequest) -> RunDTO:
        is_final = state in TERMINAL_STATES
        facts = row.facts.model_copy(update=body.facts.model_dump(exclude_none=True))
        reason = body.reason or row.reason if is_final else row.reason
        events = [] if row.waiting_reason is None else [_resumed(row.waiting_reason)]
        payload = RunEventPayload(
            state=state,
            previous_state=row.state,
            event=body.event,
            message=body.message,
            reason=body.reason,
            pr_number=facts.pr_number,
            sha=facts.head_sha,
            attempt=code_attempts_after(body.event, row.code_attempts),
        )
        key = f"transition:{body.key}"
        events.append(RunEventAppend(type=RunEventType.STATE_CHANGED, key=key, payload=payload))
        if is_final:
            url = facts.deployed_url or facts.pr_url
            end = RunEventPayload(state=state, reason=reason, url=url, sha=facts.merge_sha or facts.head_sha)
            events.append(RunEventAppend(type=RunEventType.RUN_FINISHED, payload=end))
        self.last_events[row.id] = body.event
        ending = {**NO_LEASE, "finished_at": self.now()} if is_final else {}
        after = await self._store(
            row,
            events,
            state=state,
            version=row.version + 1,
            reason=reason,
            facts=facts,
            code_attempts=code_attempts_after(body.event, row.code_attempts),
            review_rounds=review_rounds_after(body.event, row.review_rounds),
            **NOT_WAITING,
            **ending,
        )
        self._derive(after)
        return after

    def _derive(self, run: RunDTO) -> None:
        """Set the statuses of the task and of the project that follow from the run's state."""
        now = self.now()
        task = self.tasks[run.task_id]
        if task.status not in FINAL_TASKS:
            self.tasks[task.id] = task.model_copy(update={"status": task_status_in(run.state), "updated_at": now})
        project = self.projects[run.project_id]
        news: dict[str, Any] = {"updated_at": now}
        if run.state is RunState.COMPLETED and run.facts.deployed_url:
            news["deployed_url"] = run.facts.deployed_url
            news["deployed_sha"] = run.facts.head_sha or project.deployed_sha
        facts = ProjectFacts(project.deployed_url, project.repo_full_name)
        if (status := project_status_in(run.kind, run.state, facts)) is not None:
            news["status"] = status
        self.projects[project.id] = project.model_copy(update=news)
        if run.state in TERMINAL_STATES:
            self._wake_next(run)

    def _wake_next(self, run: RunDTO) -> None:
        following = next((row for row in self.runs.values() if _is_rival(row, run)), None)
        if following is not None:
            self.runs[following.id] = following.model_copy(update={"wake_at": None})

    async def cancel_run(self, run_id: str, reason: str) -> RunDTO:
        row = found(self.runs, run_id, "run")
        if row.state is RunState.CANCELLED or (row.cancel_requested and row.state not in TERMINAL_STATES):
            return row
        if row.state in TERMINAL_STATES:
            raise refused("already_final", f"the run is {row.state}")
        return await self._store(row, cancel_requested=True, reason=reason, wake_at=None)

    async def wait_run(self, run_id: str, timeout_seconds: float) -> RunDTO:
        found(self.runs, run_id, "run")
        try:
            async with asyncio.timeout(timeout_seconds), self.run_changed:
                await self.run_changed.wait_for(lambda: self.runs[run_id].state in TERMINAL_STATES)
        except TimeoutError:
            return self.runs[run_id]
        return self.runs[run_id]

    async def append_events(self, run_id: str, events: list[RunEventAppend]) -> list[RunEventDTO]:
        row = found(self.runs, run_id, "run")
        if row.state in TERMINAL_STATES:  # RunFinished stays the last event
            return []
        before = row.last_seq
        keyed = [event.model_copy(update={"key": f"event:{event.key}" if event.key else None}) for event in events]
        await self._store(row, keyed)
        return self.events[run_id][before:]

    async def list_events(self, run_id: str, *, from_seq: int = 1) -> list[RunEventDTO]:
        found(self.runs, run_id, "run")
        return [event for event in self.events[run_id] if event.seq >= from_seq]

    async def add_evidence(self, run_id: str, body: EvidenceCreate) -> EvidenceDTO:
        found(self.runs, run_id, "run")
        rows = self.evidence.setdefault(run_id, {})
        key = (body.kind, body.sha or "")
        rows.pop(key, None)
        rows[key] = EvidenceDTO(**body.model_dump(), run_id=run_id, created_at=self.now())
        return rows[key]

    async def list_evidence(self, run_id: str) -> list[EvidenceDTO]:
        found(self.runs, run_id, "run")
        return list(self.evidence.get(run_id, {}).values())

    def _has_live_lease(self, row: RunDTO) -> bool:
        return row.lease_expires_at is not None and row.lease_expires_at > self.now()

    async def _store(self, row: RunDTO, events: Sequence[RunEventAppend] = (), **news: Any) -> RunDTO:
        """Write the run with new events after its last one; events whose key is known are dropped."""
        log = self.events[row.id]
        for event in events:
            if event.key is not None:
                if (row.id, event.key) in self.event_keys:
                    continue
                self.event_keys[(row.id, event.key)] = len(log) + 1
            log.append(
                RunEventDTO(run_id=row.id, seq=len(log) + 1, type=event.type, ts=self.now(), payload=event.payload)
            )
        after = row.model_copy(update={**news, "last_seq": len(log), "updated_at": self.now()})
        self.runs[row.id] = after
        async with self.run_changed:
            self.run_changed.notify_all()
        return after


def _is_rival(other: RunDTO, run: RunDTO) -> bool:
    """Tell whether another run competes for the same project, as one run of a kind at a time works on it."""
    return (other.project_id, other.kind) == (run.project_id, run.kind) and other.state not in TERMINAL_STATES


def _stale(row: RunDTO, fence: int) -> Exception:
    return refused("stale_fence", f"fence {fence} of run {row.id} is not the current lease")


def _waiting(reason: WaitingReason) -> RunEventAppend:
    return RunEventAppend(type=RunEventType.WAITING, payload=RunEventPayload(reason=reason))


def _resumed(reason: WaitingReason) -> RunEventAppend:
    return RunEventAppend(type=RunEventType.RESUMED, payload=RunEventPayload(reason=reason))
