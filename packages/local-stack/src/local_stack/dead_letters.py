"""What an operator does with dead letters: look, replay, discard; through the api, shown as tables or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.text import Text

from local_stack.errors import Precondition
from shared.clients.api_port import Api
from shared.contracts.dto.infrastructure import DeadLetterDTO, DeadLetterFilter
from shared.contracts.vocabulary import DeadLetterState

SHOWN_ERROR = 160
COLUMNS = ("id", "since", "state", "stream", "reason", "tries")
Echo = Callable[[str], None]


class DeadLetterDesk:
    """Each method is one command. `as_json` prints what the api answered and nothing else."""

    def __init__(self, api: Api, console: Console, echo: Echo, *, as_json: bool = False) -> None:
        self._api = api
        self._console = console
        self._echo = echo
        self._as_json = as_json

    async def list(self, stream: str | None, reason: str | None, state: DeadLetterState | None) -> None:
        """Print the dead letters that match, oldest first."""
        rows = await self._api.list_dead_letters(stream=stream, reason=reason, state=state)
        if self._as_json:
            self._echo_json([_plain(row) for row in rows])
        elif rows:
            for line in _lines(rows):
                self._console.print(line, soft_wrap=True)
        else:
            self._echo("there are no such dead letters")

    async def show(self, letter_id: int) -> None:
        """Print everything the platform knows of one dead letter; secrets were masked before it was stored."""
        row = await self._api.get_dead_letter(letter_id)
        if self._as_json:
            self._echo_json(_plain(row))
            return
        for name, value in _plain(row).items():
            if name != "body":
                self._console.print(Text.assemble((f"{name:>10}  ", "bold"), printable(str(value or ""))))
        self._echo(printable(row.body))

    async def replay(self, ids: Sequence[int], wanted: DeadLetterFilter, *, is_all: bool) -> None:
        """Ask for a replay of the named ones, or of every open one that matches."""
        has_filter = is_all or wanted.stream is not None or wanted.reason is not None
        if bool(ids) == has_filter:
            raise Precondition("say which dead letters to replay", "give their ids, or --stream, --reason or --all")
        if not ids:
            answer = await self._api.replay_dead_letters(wanted)
            if self._as_json:
                self._echo_json(answer.model_dump())
            else:
                self._echo(f"replay requested for {answer.count} dead letter{'' if answer.count == 1 else 's'}")
            return
        self._told([await self._api.replay_dead_letter(number) for number in ids])

    async def discard(self, ids: Sequence[int]) -> None:
        """Ask for the named ones to be thrown away."""
        self._told([await self._api.discard_dead_letter(number) for number in ids])

    def _told(self, rows: Sequence[DeadLetterDTO]) -> None:
        if self._as_json:
            self._echo_json([_plain(row) for row in rows])
            return
        for row in rows:
            self._echo(f"dead letter {row.id} of {row.stream}: {row.state.value.replace('_', ' ')}")

    def _echo_json(self, value: object) -> None:
        self._echo(json.dumps(value, indent=1, ensure_ascii=False))


def printable(text: str) -> str:
    """Return text that cannot steer a terminal: what a message brings along is not ours."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def _plain(row: DeadLetterDTO) -> dict[str, object]:
    return row.model_dump(mode="json")


def _lines(rows: Sequence[DeadLetterDTO]) -> Iterator[Text]:
    """Yield a table in which each error has a line of its own: a narrow terminal breaks only that one."""
    cells = [COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(COLUMNS))]
    errors = [""] + [row.error for row in rows]
    for line, error in zip(cells, errors, strict=True):
        yield Text("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if error:
            shown = error if len(error) <= SHOWN_ERROR else error[: SHOWN_ERROR - 1] + "…"
            yield Text(f"    {printable(shown)}", "dim")


def _cells(row: DeadLetterDTO) -> tuple[str, ...]:
    since = row.created_at.astimezone().strftime("%m-%d %H:%M")
    return (str(row.id), since, row.state.value, printable(row.stream), printable(row.reason), str(row.attempts))
