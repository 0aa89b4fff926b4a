"""`orchestrator respond`: says something to the user while the turn goes on."""

from __future__ import annotations

import sys
import time

from orchestrator_cli.context import Context
from orchestrator_cli.errors import Unreachable, UsageFault
from orchestrator_cli.output import Answer

LONGEST_CHARS = 20_000


def read_text(text: str) -> str:
    """Return the text; `-` stands for stdin."""
    return sys.stdin.read() if text == "-" else text


async def respond(context: Context, text: str) -> Answer:
    """Publish a non-final output of the request this worker is answering."""
    from orchestrator_cli.orders import correlated
    from shared.contracts.queues.workers import POWorkerOutput
    from shared.contracts.topology import PO_OUTPUT
    from shared.contracts.vocabulary import ResultStatus
    from shared.redis.errors import BusError

    settings = context.settings
    if settings.worker_id is None or settings.user_id is None or settings.request_id is None:
        raise UsageFault("respond works inside a worker only: WORKER_ID, USER_ID and WORKER_REQUEST_ID name the turn")
    if not text.strip():
        raise UsageFault("text: must not be empty", {"field": "text"})
    if len(text) > LONGEST_CHARS:
        raise UsageFault(f"text: at most {LONGEST_CHARS} characters", {"field": "text"})
    with correlated(context):
        output = POWorkerOutput(
            request_id=settings.request_id,
            status=ResultStatus.SUCCESS,
            user_id=settings.user_id,
            worker_id=settings.worker_id,
            text=text,
            is_final=False,
            sequence=time.time_ns() // 1_000_000,
        )
    try:
        async with context.open_bus() as bus:
            entry_id = await bus.publish(PO_OUTPUT.at(settings.worker_id), output)
    except BusError as error:
        raise Unreachable(f"the message could not be sent ({error}); try again in a moment") from None
    return Answer({"entry_id": entry_id}, "sent")
