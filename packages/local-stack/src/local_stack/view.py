"""What a person sees on the terminal: who runs, what is real, the conversation, where the time went."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from local_stack.demo.report import Check, TimelineEntry


class View:
    """Prints lines; safe for pipes and logs as well as terminals."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        self.console.print(Text(f"· {text}", style="dim"))

    def banner(self, real: Iterable[str], emulated: Iterable[str]) -> None:
        """Tell which parts are real and which an emulator stands in for."""
        self.console.print(Text.assemble(("real      ", "bold green"), ", ".join(real)))
        names = list(emulated)
        if names:
            self.console.print(Text.assemble(("emulated  ", "bold yellow"), ", ".join(names)))
            self.console.print(
                Text("          set ANTHROPIC_API_KEY, TELEGRAM_BOT_TOKEN or GITHUB_APP_* for the real ones", "dim")
            )

    def chat(self, who: str, text: str, *, is_edit: bool = False) -> None:
        style = "bold cyan" if who == "you" else "bold magenta"
        mark = " ✎" if is_edit else ""
        self.console.print(Text.assemble((f"{who:>4}{mark} │ ", style), text.replace("\n", "\n       ")))

    def checks(self, checks: Iterable[Check]) -> None:
        for check in checks:
            mark = ("✓", "green") if check.ok else ("✗", "bold red")
            self.console.print(Text.assemble(mark, f" {check.name}", (f"  {check.detail}", "dim")))

    def timeline(self, entries: Iterable[TimelineEntry]) -> None:
        table = Table(title="timeline", title_justify="left", box=None, pad_edge=False)
        for column in ("seconds", "run", "event"):
            table.add_column(column, justify="right" if column == "seconds" else "left")
        for entry in entries:
            table.add_row(f"{entry.seconds:.1f}", entry.run, entry.text)
        self.console.print(table)

    def children(self, rows: Iterable[tuple[str, str, str, str, str]]) -> None:
        table = Table(box=None, pad_edge=False)
        for column in ("process", "pid", "port", "state", "restarts"):
            table.add_column(column)
        for row in rows:
            table.add_row(*row)
        self.console.print(table)
