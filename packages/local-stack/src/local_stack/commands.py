"""The `codegen` command: up, demo, chat, status, logs, doctor, down; `dlq` has a module of its own."""

from __future__ import annotations

import shutil
import sys
from collections import deque
from pathlib import Path
from typing import Annotated

import typer

from local_stack.agents import ensure_claude
from local_stack.commands_dlq import dlq
from local_stack.containers import container_findings
from local_stack.demo.scenario import bundled_scenario, load_scenario, scenario_for
from local_stack.doctor import examine, require
from local_stack.engine import does_answer, engine_findings
from local_stack.errors import Precondition
from local_stack.invocation import run
from local_stack.running import bring_down, read_state
from local_stack.settings import StackSettings
from local_stack.stack import Stack, layout_for
from local_stack.view import View
from shared.runtime.settings import find_repository

app = typer.Typer(
    help="Codegen Orchestrator on one machine: a chat message becomes a running application.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
MAX_MESSAGE = 4096
app.add_typer(dlq, name="dlq")


def _settings(unsandboxed: bool = False) -> StackSettings:
    settings = StackSettings()
    return settings.model_copy(update={"unsandboxed": True}) if unsandboxed else settings


async def _until_failure(stack: Stack) -> int:
    await stack.supervisor.failure
    return 1


@app.command()
def up(
    unsandboxed: Annotated[bool, typer.Option(help="let agents with a real model run as plain processes")] = False,
    script: Annotated[list[Path] | None, typer.Option(help="scripted answers for the emulated model")] = None,
) -> None:
    """Start the whole system and keep it running until Ctrl-C."""

    async def work() -> int:
        settings, view = _settings(unsandboxed), View()
        layout = layout_for(settings)
        require(settings, layout)
        scripts = tuple(script) if script else _scripts(bundled_scenario())
        async with Stack(settings, layout, scripts=scripts, say=view.say) as stack:
            view.banner(stack.real_parts(), stack.emulated_parts())
            view.say("chat with `codegen chat`; Ctrl-C stops everything")
            return await _until_failure(stack)

    run(work())


def _scripts(scenario: Path) -> tuple[Path, ...]:
    script = load_scenario(scenario)[1]
    return (script,) if script else ()


@app.command()
def demo(
    prompt: Annotated[str | None, typer.Option(help="another application, in your words (needs a real model)")] = None,
    scenario: Annotated[Path | None, typer.Option(help="a scenario file with messages, answers and checks")] = None,
    keep: Annotated[bool | None, typer.Option(help="keep running afterwards; default: on a terminal")] = None,
    unsandboxed: Annotated[bool, typer.Option(help="let agents with a real model run as plain processes")] = False,
) -> None:
    """Play a conversation from the first message to the working URL, and prove that it works."""

    async def work() -> int:
        from local_stack.demo.show import show

        settings, view = _settings(unsandboxed), View()
        if prompt is not None:
            _check_prompt(prompt, settings)
        if settings.is_telegram_real:
            raise Precondition(
                "the demo plays the user, which a real bot's chat does not allow",
                "unset TELEGRAM_BOT_TOKEN for the demo, or run `codegen up` and write to your bot",
            )
        layout = layout_for(settings, settings.codegen_home / "demo")
        require(settings, layout)
        chosen, script = (
            (scenario_for(prompt), None) if prompt is not None else load_scenario(scenario or bundled_scenario())
        )
        is_kept = sys.stdin.isatty() if keep is None else keep
        return await show(settings, layout, view, chosen, script, is_kept=is_kept)

    run(work())


def _check_prompt(prompt: str, settings: StackSettings) -> None:
    if not prompt.strip():
        raise Precondition("the prompt is empty", 'say what to build: make demo PROMPT="a shopping list"')
    if len(prompt) > MAX_MESSAGE:
        raise Precondition(f"the prompt has {len(prompt)} characters", f"use at most {MAX_MESSAGE}, as in the chat")
    if not settings.is_llm_real:
        raise Precondition(
            "a prompt of your own needs a real model", "set ANTHROPIC_API_KEY, or run the demo without PROMPT"
        )


@app.command()
def chat(user: Annotated[int | None, typer.Option(help="the Telegram id to play")] = None) -> None:
    """Chat with the running system from this terminal (with a real bot token: use Telegram)."""

    async def work() -> int:
        from local_stack.terminal import converse

        settings = _settings()
        if settings.is_telegram_real:
            raise Precondition("the bot is a real one", "open Telegram and write to your bot")
        state = read_state(layout_for(settings))
        return await converse(state.urls["telegram"], user)

    run(work())


@app.command()
def status() -> None:
    """Show which processes run, where, and how often each was restarted."""

    async def work() -> int:
        state = read_state(layout_for(_settings()))
        view = View()
        view.banner(state.real, state.emulated)
        view.children(
            (
                name,
                str(child.pid),
                str(child.port or ""),
                "ready" if child.is_ready else "starting",
                str(child.restarts),
            )
            for name, child in state.children.items()
        )
        return 0 if all(child.is_ready for child in state.children.values()) else 1

    run(work())


@app.command()
def logs(
    name: Annotated[str | None, typer.Argument(help="a process; without it their names are listed")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="how many of the last lines")] = 50,
) -> None:
    """Print the last lines of a process's log."""
    folder = layout_for(_settings()).logs
    known = sorted(path.stem for path in folder.glob("*.log"))
    if name is None or name not in known:
        if name is not None:
            typer.secho(f"error: there is no log of {name!r}", fg=typer.colors.RED, err=True)
        typer.echo("logs: " + (", ".join(known) or "none yet"))
        raise typer.Exit(0 if name is None else 3)
    with (folder / f"{name}.log").open(encoding="utf-8", errors="replace") as log:
        typer.echo("".join(deque(log, maxlen=lines)), nl=False)


@app.command()
def doctor() -> None:
    """Check this machine and name each thing that is missing, with its fix."""
    settings = _settings()
    findings = [*examine(settings, layout_for(settings)), *engine_findings()]
    if does_answer():
        findings += container_findings(find_repository() / ".env")
    for finding in findings:
        mark = "ok  " if finding.ok else "FAIL"
        typer.secho(f"{mark} {finding.name}: {finding.detail}", fg=None if finding.ok else typer.colors.RED)
        if not finding.ok:
            typer.echo(f"     fix: {finding.fix}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


@app.command()
def agents() -> None:
    """Fetch the pinned agent binaries, where they are not there yet, and print where they are."""

    async def work() -> int:
        layout = layout_for(_settings())
        layout.create()
        typer.echo(await ensure_claude(layout.agents))
        return 0

    run(work())


@app.command()
def down(
    wipe: Annotated[bool, typer.Option(help="also remove the stack's data; caches and binaries stay")] = False,
) -> None:
    """Stop the running system and end whatever it left behind."""
    settings = _settings()
    layout = layout_for(settings)
    typer.echo(bring_down(layout))
    if wipe:
        for path in (layout.postgres, layout.redis, layout.emulators, layout.workers, layout.server, layout.logs):
            shutil.rmtree(path, ignore_errors=True)
        typer.echo(f"removed the data in {layout.home}")
