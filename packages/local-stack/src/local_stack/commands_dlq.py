"""`codegen dlq`: list, show, replay and discard dead letters of the running stack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from local_stack.credentials import Credentials
from local_stack.dead_letters import DeadLetterDesk
from local_stack.invocation import run
from local_stack.running import read_state
from local_stack.settings import StackSettings
from local_stack.stack import layout_for
from local_stack.view import View
from shared.clients.api import ApiClient
from shared.contracts.dto.infrastructure import DeadLetterFilter
from shared.contracts.queues.events import DeadLetterReason
from shared.contracts.vocabulary import DeadLetterState

OPERATOR = "operator"
RETRY_SECONDS = 5.0

dlq = typer.Typer(help="Dead letters: messages nobody could handle.", no_args_is_help=True)

Ids = Annotated[list[int], typer.Argument(help="ids as `codegen dlq list` shows them", min=1)]
StreamOption = Annotated[str | None, typer.Option(help="only of this stream, such as engineering:queue")]
ReasonOption = Annotated[DeadLetterReason | None, typer.Option(help="only those that died of this")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON for other programs")]


def _at_the_desk(work: Callable[[DeadLetterDesk], Awaitable[None]], *, as_json: bool) -> None:
    """Run one command with an operator's token for the api of the running stack."""

    async def guarded() -> int:
        layout = layout_for(StackSettings())
        state = read_state(layout)
        token = Credentials.load_or_create(layout.keys).service_token(OPERATOR)
        async with ApiClient(state.urls["api"], token, retry_seconds=RETRY_SECONDS) as api:
            await work(DeadLetterDesk(api, View().console, typer.echo, as_json=as_json))
        return 0

    run(guarded())


@dlq.command("list")
def list_(
    stream: StreamOption = None,
    reason: ReasonOption = None,
    state: Annotated[DeadLetterState, typer.Option(help="only those in this state")] = DeadLetterState.OPEN,
    any_state: Annotated[bool, typer.Option("--any-state", help="those in every state")] = False,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, the open ones unless told otherwise."""
    chosen = None if any_state else state
    _at_the_desk(lambda desk: desk.list(stream, reason, chosen), as_json=as_json)


@dlq.command()
def show(letter_id: Annotated[int, typer.Argument(min=1)], as_json: JsonOption = False) -> None:
    """Show one dead letter with its body, secrets masked."""
    _at_the_desk(lambda desk: desk.show(letter_id), as_json=as_json)


@dlq.command()
def replay(
    ids: Annotated[list[int] | None, typer.Argument(help="ids as `codegen dlq list` shows them", min=1)] = None,
    stream: StreamOption = None,
    reason: ReasonOption = None,
    is_all: Annotated[bool, typer.Option("--all", help="every open dead letter")] = False,
    as_json: JsonOption = False,
) -> None:
    """Publish messages again, as they were: the ones named, or the open ones that match."""
    wanted = DeadLetterFilter(stream=stream, reason=reason)
    _at_the_desk(lambda desk: desk.replay(ids or [], wanted, is_all=is_all), as_json=as_json)


@dlq.command()
def discard(ids: Ids, as_json: JsonOption = False) -> None:
    """Throw messages away; their rows stay as history."""
    _at_the_desk(lambda desk: desk.discard(ids), as_json=as_json)
