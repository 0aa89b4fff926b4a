"""What every api must do for runs, whoever implements it: leases, fences, the state machine, events, evidence.

A test class derives from ApiRunContract and provides the fixture `api`. Rows of other tests may exist.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from shared.clients.api_port import Api
from shared.clients.errors import Conflict, NotFound
from shared.contracts.dto.work import (
    EvidenceCreate,
    ProjectUpdate,
    RunClaim,
    RunCreate,
    RunDTO,
    RunEventAppend,
    RunFacts,
    RunRelease,
    RunRenew,
    TransitionRequest,
)
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.run_machine import RunEventName, RunState
from shared.contracts.vocabulary import (
    ProjectStatus,
    RunEventType,
    TaskStatus,
    TaskType,
    WaitingReason,
    WaitKind,
)
from shared.testing.api_scenes import (
    TO_PR,
    TO_VERIFYING,
    claimed_run,
    completed_engineering,
    new_project,
    new_run,
    new_task,
    step,
)

E, T = RunEventName, RunEventType


def refused_with(code: str) -> pytest.RaisesExc[Conflict]:
    return pytest.RaisesExc(Conflict, check=lambda error: error.api_code == code)


async def types_of(api: Api, run: RunDTO) -> list[RunEventType]:
    events = await api.list_events(run.id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return [event.type for event in events]


class ApiRunContract:
    """One run's life."""

    async def test_a_run_is_created_once_per_key(self, api: Api) -> None:
        task = await new_task(api)
        body = RunCreate(task_id=task.id, key=f"task:{task.id}")
        runs = await asyncio.gather(*(api.create_run(body) for _ in range(10)))
        assert {run.id for run in runs} == {runs[0].id}
        run = runs[0]
        assert (run.state, run.version, run.fence, run.last_seq) == (RunState.QUEUED, 1, 0, 1)
        assert (run.owner_id, run.project_id, run.kind) == (task.owner_id, task.project_id, TaskType.ENGINEERING)
        assert await types_of(api, run) == [T.RUN_STARTED]
        with pytest.raises(NotFound):
            await api.create_run(RunCreate(task_id="none", key="k"))

    async def test_a_finished_task_gets_no_new_run_but_its_own_back(self, api: Api) -> None:
        run = await step(api, await claimed_run(api), E.RUN_FAILED)
        task = run.task_id
        assert (await api.create_run(RunCreate(task_id=task, key=f"task:{task}"))).id == run.id
        with refused_with("task_final"):
            await api.create_run(RunCreate(task_id=task, key="another"))

    async def test_a_claim_raises_the_fence_and_keeps_others_out(self, api: Api) -> None:
        run = await claimed_run(api)
        assert (run.lease_owner, run.fence) == ("driver", 1)
        with refused_with("lease_held"):
            await api.claim_run(run.id, RunClaim(owner="other"))
        assert (await api.claim_run(run.id, RunClaim(owner="driver"))).fence == 2
        with pytest.raises(NotFound):
            await api.claim_run("none", RunClaim(owner="driver"))

    async def test_of_many_claims_one_wins(self, api: Api) -> None:
        run = await new_run(api)
        claims = (api.claim_run(run.id, RunClaim(owner=f"driver-{number}")) for number in range(8))
        outcomes = await asyncio.gather(*claims, return_exceptions=True)
        assert sum(not isinstance(outcome, Conflict) for outcome in outcomes) == 1
        assert (await api.get_run(run.id)).fence == 1

    async def test_a_stale_fence_may_not_write(self, api: Api) -> None:
        old = await claimed_run(api)
        await api.release_run(old.id, RunRelease(owner="driver", fence=old.fence))
        await api.claim_run(old.id, RunClaim(owner="other"))
        with refused_with("stale_fence"):
            await step(api, old, E.START_PLANNING)
        with refused_with("stale_fence"):
            await api.renew_run(old.id, RunRenew(owner="driver", fence=old.fence))
        with refused_with("stale_fence"):
            await api.release_run(old.id, RunRelease(owner="driver", fence=old.fence))
        assert (await api.get_run(old.id)).state is RunState.QUEUED

    async def test_renewing_extends_the_lease(self, api: Api) -> None:
        run = await claimed_run(api)
        renewed = await api.renew_run(run.id, RunRenew(owner="driver", fence=run.fence, ttl_seconds=600))
        assert run.lease_expires_at is not None
        assert renewed.lease_expires_at is not None
        assert renewed.lease_expires_at > run.lease_expires_at

    async def test_a_released_run_says_what_it_waits_for(self, api: Api) -> None:
        run = await claimed_run(api)
        later = datetime.now(UTC) + timedelta(hours=1)
        body = RunRelease(owner="driver", fence=run.fence, wait_kind=WaitKind.CHECKS, wait_key="sha", wake_at=later)
        after = await api.release_run(run.id, body)
        assert (after.lease_owner, after.wait_kind, after.wait_key, after.wake_at) == (None, "checks", "sha", later)
        assert await api.release_run(run.id, body) == after
        mine = run.project_id
        assert await api.list_runs(project_id=mine, wait_kind=WaitKind.CHECKS, is_due=False) == [after]
        assert await api.list_runs(project_id=mine, is_due=True) == []
        assert await api.list_runs(project_id=mine, has_live_lease=False, is_final=False) == [after]
        again = await api.claim_run(run.id, RunClaim(owner="driver"))
        assert again.wait_kind is WaitKind.CHECKS
        assert [row.id for row in await api.list_runs(project_id=mine, has_live_lease=True)] == [run.id]

    async def test_a_waiting_reason_is_told_once_and_its_end_as_well(self, api: Api) -> None:
        run = await claimed_run(api)
        quota = RunRelease(owner="driver", fence=1, waiting_reason=WaitingReason.QUOTA)
        await api.release_run(run.id, quota)
        await api.claim_run(run.id, RunClaim(owner="driver"))
        await api.release_run(run.id, quota.model_copy(update={"fence": 2}))
        run = await api.claim_run(run.id, RunClaim(owner="driver"))
        assert run.waiting_reason is WaitingReason.QUOTA
        run = await step(api, run, E.START_PLANNING)
        assert run.waiting_reason is None
        assert await types_of(api, run) == [T.RUN_STARTED, T.WAITING, T.RESUMED, T.STATE_CHANGED]
        await api.release_run(run.id, RunRelease(owner="driver", fence=3, waiting_reason=WaitingReason.BUDGET))
        await api.claim_run(run.id, RunClaim(owner="driver"))
        await api.release_run(run.id, RunRelease(owner="driver", fence=4))
        assert (await types_of(api, run))[4:] == [T.WAITING, T.RESUMED]

    async def test_a_transition_changes_state_version_and_log(self, api: Api) -> None:
        run = await claimed_run(api)
        body = TransitionRequest(event=E.START_PLANNING, fence=run.fence, key="k1", message="on it")
        after = await api.transition(run.id, body)
        assert (after.state, after.version, after.last_seq) == (RunState.PLANNING, 2, 2)
        assert await api.transition(run.id, body) == after
        event = (await api.list_events(run.id, from_seq=2))[0]
        payload = event.payload
        assert (payload.previous_state, payload.state, payload.event) == ("QUEUED", "PLANNING", "START_PLANNING")
        assert payload.message == "on it"

    async def test_what_the_table_does_not_allow_changes_nothing(self, api: Api) -> None:
        run = await claimed_run(api)
        with refused_with("invalid_transition"):
            await step(api, run, E.CODE_SUCCEEDED)
        with refused_with("invalid_transition"):
            await step(api, run, E.START_ANALYSIS)
        assert await api.get_run(run.id) == run

    async def test_facts_and_counters_accumulate(self, api: Api) -> None:
        run = await claimed_run(api)
        run = await step(api, run, E.START_PLANNING, facts=RunFacts(branch="run/1"))
        run = await step(api, run, E.PLAN_SUCCEEDED, E.START_CODING, E.START_CODING, E.CODE_SUCCEEDED)
        run = await step(api, run, E.REVIEW_REJECTED, E.START_CODING, E.CODE_SUCCEEDED, E.REVIEW_APPROVED)
        run = await step(api, run, E.CI_FAILED, facts=RunFacts(head_sha="abc"))
        assert (run.code_attempts, run.review_rounds) == (3, 2)
        assert (run.facts.branch, run.facts.head_sha) == ("run/1", "abc")

    async def test_completion_needs_evidence_for_the_very_sha(self, api: Api) -> None:
        run = await step(api, await claimed_run(api), *TO_PR)
        with refused_with("evidence_missing"):
            await step(api, run, E.MARK_COMPLETED)
        await api.add_evidence(run.id, EvidenceCreate(kind="remote_head", sha="new"))
        await api.add_evidence(run.id, EvidenceCreate(kind="checks", sha="old", conclusion="success"))
        await api.add_evidence(run.id, EvidenceCreate(kind="merge", sha="m"))
        with refused_with("evidence_missing"):
            await step(api, run, E.MARK_COMPLETED)
        await api.add_evidence(run.id, EvidenceCreate(kind="checks", sha="new", conclusion="failure"))
        with refused_with("evidence_missing"):
            await step(api, run, E.MARK_COMPLETED)
        await api.add_evidence(run.id, EvidenceCreate(kind="checks", sha="new", conclusion="success"))
        assert (await step(api, run, E.MARK_COMPLETED)).state is RunState.COMPLETED
        kinds = [(row.kind, row.sha, row.conclusion) for row in await api.list_evidence(run.id)]
        assert kinds.count(("checks", "new", "success")) == 1
        assert len(kinds) == 4

    async def test_the_end_is_the_last_event_and_carries_the_outcome(self, api: Api) -> None:
        run = await completed_engineering(api, await claimed_run(api))
        assert (run.lease_owner, run.wake_at, run.finished_at is not None) == (None, None, True)
        await api.append_events(run.id, [RunEventAppend(type=T.NODE_FINISHED)])
        events = await api.list_events(run.id)
        assert events[-1].type is T.RUN_FINISHED
        payload = events[-1].payload
        assert (payload.state, payload.url, payload.sha) == (RunState.COMPLETED, "http://host/pr/1", "def5678")
        assert (await api.get_task(run.task_id)).status is TaskStatus.COMPLETED

    async def test_the_first_outcome_wins(self, api: Api) -> None:
        run = await claimed_run(api)
        failed = await step(api, run, E.RUN_FAILED, reason="no repository")
        assert failed.reason == "no repository"
        repeat = TransitionRequest(event=E.RUN_FAILED, fence=run.fence, key="another key")
        assert await api.transition(run.id, repeat) == failed
        with refused_with("already_final"):
            await step(api, failed, E.MARK_CANCELLED)
        with refused_with("already_final"):
            await api.claim_run(run.id, RunClaim(owner="driver"))
        with refused_with("already_final"):
            await api.cancel_run(run.id, "too late")
        assert await api.renew_run(run.id, RunRenew(owner="driver", fence=run.fence)) == failed

    async def test_task_and_project_follow_the_run(self, api: Api) -> None:
        project = await new_project(api)
        run = await claimed_run(api, project)
        assert (await api.get_task(run.task_id)).status is TaskStatus.QUEUED
        run = await step(api, run, E.START_PLANNING)
        assert (await api.get_task(run.task_id)).status is TaskStatus.RUNNING
        assert (await api.get_project(project.id)).status is ProjectStatus.DEVELOPING
        run = await step(api, run, E.PLAN_SUCCEEDED, E.START_CODING, E.CODE_SUCCEEDED)
        assert (await api.get_project(project.id)).status is ProjectStatus.TESTING
        await step(api, run, E.RUN_FAILED)
        assert (await api.get_task(run.task_id)).status is TaskStatus.FAILED
        assert (await api.get_project(project.id)).status is ProjectStatus.FAILED

    async def test_a_deployed_project_stays_active_when_a_later_run_fails(self, api: Api) -> None:
        project = await new_project(api)
        await api.update_project(project.id, ProjectUpdate(deployed_url="http://host:1/"))
        await step(api, await claimed_run(api, project), E.START_PLANNING, E.PLAN_FAILED)
        assert (await api.get_project(project.id)).status is ProjectStatus.ACTIVE

    async def test_a_deploy_needs_its_smoke_check_and_makes_the_project_active(self, api: Api) -> None:
        project = await new_project(api)
        run = await claimed_run(api, project, TaskType.DEPLOY)
        run = await step(api, run, E.START_ANALYSIS)
        assert (await api.get_project(project.id)).status is ProjectStatus.DEPLOYING
        run = await step(api, run, *TO_VERIFYING[1:])
        with refused_with("evidence_missing"):
            await step(api, run, E.SMOKE_PASSED)
        await api.add_evidence(run.id, EvidenceCreate(kind="smoke", sha="abc", conclusion="success"))
        facts = RunFacts(deployed_url="http://host:8100/", head_sha="abc")
        run = await step(api, run, E.SMOKE_PASSED, facts=facts)
        after = await api.get_project(project.id)
        assert (after.status, after.deployed_url, after.deployed_sha) == ("active", "http://host:8100/", "abc")
        assert (await api.list_events(run.id))[-1].payload.url == "http://host:8100/"

    async def test_the_second_run_of_a_project_waits_for_the_first(self, api: Api) -> None:
        project = await new_project(api)
        first, second = await claimed_run(api, project), await new_run(api, project)
        assert second.waiting_reason is WaitingReason.PROJECT_BUSY
        assert await types_of(api, second) == [T.RUN_STARTED, T.WAITING]
        with refused_with("project_busy"):
            await api.claim_run(second.id, RunClaim(owner="driver"))
        deploy = await new_run(api, project, TaskType.DEPLOY)
        assert deploy.waiting_reason is None
        await step(api, first, E.RUN_FAILED)
        second = await api.claim_run(second.id, RunClaim(owner="driver"))
        second = await step(api, second, E.START_PLANNING)
        assert second.waiting_reason is None

    async def test_of_two_new_runs_one_finds_the_project_free(self, api: Api) -> None:
        project = await new_project(api)
        runs = await asyncio.gather(*(new_run(api, project) for _ in range(4)))
        assert sum(run.waiting_reason is None for run in runs) == 1

    async def test_a_cancelled_run_is_due_and_may_be_claimed_although_the_project_is_busy(self, api: Api) -> None:
        project = await new_project(api)
        await claimed_run(api, project)
        run = await new_run(api, project)
        asked = await api.cancel_run(run.id, "changed my mind")
        assert (asked.cancel_requested, asked.wake_at, asked.state) == (True, None, RunState.QUEUED)
        assert await api.cancel_run(run.id, "again") == asked
        claimed = await api.claim_run(run.id, RunClaim(owner="driver"))
        done = await step(api, claimed, E.MARK_CANCELLED)
        assert (done.state, done.reason) == (RunState.CANCELLED, "changed my mind")
        assert (await api.get_task(run.task_id)).status is TaskStatus.CANCELLED
        assert await api.cancel_run(run.id, "again") == done

    async def test_events_are_appended_in_order_and_once_per_key(self, api: Api) -> None:
        run = await new_run(api)
        node = RunEventAppend(type=T.NODE_STARTED, key="plan:1:started", payload=RunEventPayload(node="plan"))
        told = RunEventAppend(type=T.AGENT_MESSAGE, payload=RunEventPayload(message="hi"))
        first = await api.append_events(run.id, [node, told])
        assert [event.seq for event in first] == [2, 3]
        assert [event.seq for event in await api.append_events(run.id, [node, told])] == [4]
        assert await api.append_events(run.id, [node]) == []
        assert (await api.list_events(run.id, from_seq=3))[0].payload.message == "hi"
        assert (await api.get_run(run.id)).last_seq == 4

    async def test_a_wait_ends_with_the_run_or_with_its_timeout(self, api: Api) -> None:
        run = await claimed_run(api)
        assert (await api.wait_run(run.id, 0.05)).state is RunState.QUEUED
        waiting = asyncio.create_task(api.wait_run(run.id, 10))
        failed = await step(api, run, E.RUN_FAILED)
        assert await waiting == failed
        assert await api.wait_run(run.id, 10) == failed
