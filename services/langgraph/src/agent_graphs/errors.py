"""Errors of the graphs.

GraphError
├── LeaseLost               somebody else drives the run now: this driver writes no more      transient
├── RunBusy                 another driver holds the run and did not let go in time           transient
├── AnswerEarly             the question is not in the checkpoints yet                        upstream
├── CheckpointsUnavailable  Postgres does not answer                                          transient
├── RunEnded                the run became final while it was driven                          permanent
├── OutputRefused           a worker's answer without the token of its attempt                permanent
├── UnknownRequest          an answer whose request id names no run                           permanent
├── TaskMismatch            a message that does not fit the task it names                     permanent
└── IllegalTransition       the run's state does not allow what the graph wants               permanent
"""

from __future__ import annotations

from shared.runtime.errors import Category, PlatformError


class GraphError(PlatformError):
    """A run could not be driven."""

    code = "graph_error"


class LeaseLost(GraphError):
    """Somebody else drives this run now."""

    code = "lease_lost"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"somebody else drives run {run_id} now")
        self.run_id = run_id


class RunBusy(GraphError):
    """Another driver holds the run."""

    code = "run_busy"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} is held by another driver")
        self.run_id = run_id


class AnswerEarly(GraphError):
    """The question this answers is not in the checkpoints yet; it is asked again under the same id."""

    code = "answer_early"
    category = Category.UPSTREAM

    def __init__(self, request_id: str) -> None:
        super().__init__(f"the run has not got to {request_id} yet")
        self.request_id = request_id


class CheckpointsUnavailable(GraphError):
    """Postgres does not answer."""

    code = "checkpoints_unavailable"


class RunEnded(GraphError):
    """The run is final already."""

    code = "run_ended"
    category = Category.PERMANENT

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} is final already")
        self.run_id = run_id


class OutputRefused(GraphError):
    """A worker's answer does not carry the token and fence of its attempt."""

    code = "output_refused"
    category = Category.PERMANENT

    def __init__(self, request_id: str, why: str) -> None:
        super().__init__(f"output for {request_id} refused: {why}")
        self.request_id = request_id


class UnknownRequest(GraphError):
    """No run belongs to this request id."""

    code = "unknown_request"
    category = Category.PERMANENT

    def __init__(self, request_id: str) -> None:
        super().__init__(f"no run belongs to request {request_id}")
        self.request_id = request_id


class TaskMismatch(GraphError):
    """The message does not fit the task it names."""

    code = "task_mismatch"
    category = Category.PERMANENT


class IllegalTransition(GraphError):
    """The run's state does not allow this event."""

    code = "illegal_transition"
    category = Category.PERMANENT
