"""What the checkpoints hold: primitives and dumped models only. Secrets never enter the state."""

from __future__ import annotations

from typing import Any, TypedDict

Dumped = dict[str, Any]


class Common(TypedDict, total=False):
    """Shared by both graphs. `visits` counts finished visits of each node; times are ISO 8601 in UTC."""

    run_id: str
    task_id: str
    project_id: str
    owner_id: str
    project_name: str
    repo: str | None
    base: str
    visits: dict[str, int]
    numbers: dict[str, int]
    parked: Dumped | None
    failure: Dumped | None
    since: str
    delay_seconds: float


class EngineeringState(Common, total=False):
    """One engineering run.

    `tries` is the number of the current attempt per stage, `round` the number of rejections so far, `fence` grows with
    every message to a worker, `request` is the question that is open, `answer` what came back.
    """

    title: str
    description: str
    modules: list[str]
    files: list[str]
    branch: str
    stage: str
    tries: dict[str, int]
    round: int
    fence: int
    request: Dumped | None
    answer: Dumped | None
    worker_id: str | None
    memory_mb: int
    plan: Dumped | None
    code: Dumped | None
    tests: Dumped | None
    review: Dumped | None
    feedback: Dumped | None
    notes: list[str]
    head_sha: str | None
    pr_number: int | None
    pr_url: str | None
    merge_sha: str | None


class DeployState(Common, total=False):
    """One deploy run. `attempt` 1 is the deploy, 2 the roll back to `good_sha`."""

    parent_task_id: str | None
    sha: str
    good_sha: str | None
    variables: list[Dumped]
    server_handle: str
    host: str
    port: int
    url: str
    attempt: int
    correlation: str
    deployment_id: int
    workflow_run_id: int | None
    workflow_status: str | None
    dispatches: int
    smoke_error: str
