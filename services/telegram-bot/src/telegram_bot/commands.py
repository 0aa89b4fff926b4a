"""What the bot answers by itself, from the api, without a worker and without waiting for one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.clients.api_port import Api
from shared.contracts.dto.accounts import UserDTO
from shared.contracts.vocabulary import DeadLetterState, TaskStatus
from telegram_bot.sessions import Sessions
from telegram_bot.text import shorten

PAUSE_SETTING = "platform.paused"
LIST_LIMIT = 20


@dataclass(frozen=True, slots=True)
class Command:
    help: str
    answer: Callable[[UserDTO], Awaitable[str]]
    is_admin_only: bool = False


class Commands:
    """The slash commands; each answers with one text."""

    def __init__(self, api: Api, sessions: Sessions) -> None:
        self._api = api
        self._sessions = sessions
        self._table: dict[str, Command] = {
            "/start": Command("begin", self._start),
            "/help": Command("this list", self._help),
            "/new": Command("begin a new conversation; projects stay", self._new),
            "/projects": Command("your applications", self._projects),
            "/tasks": Command("what was asked and how far it is", self._tasks),
            "/servers": Command("the servers", self._servers),
            "/status": Command("what runs at the moment", self._status),
            "/cancel": Command("stop the running work", self._cancel),
            "/whoami": Command("who you are to the bot", self._whoami),
            "/workers": Command("the workers", self._workers, is_admin_only=True),
            "/incidents": Command("open incidents", self._incidents, is_admin_only=True),
            "/dlq": Command("messages nobody could handle", self._dead_letters, is_admin_only=True),
            "/pause": Command("dispatch no new work", self._pause, is_admin_only=True),
            "/resume": Command("dispatch work again", self._resume, is_admin_only=True),
        }

    async def answer(self, user: UserDTO, text: str) -> str:
        """Return the answer to a slash command, an unknown or forbidden one included."""
        name = text.split()[0].split("@")[0].lower()
        command = self._table.get(name)
        if command is None:
            return f"I do not know the command {shorten(name, 40)}. /help lists what I know."
        if command.is_admin_only and not user.is_admin:
            return f"{name} is for administrators."
        return await command.answer(user)

    async def _start(self, user: UserDTO) -> str:
        return (
            f"Hello {user.name or 'there'}! Tell me in your own words which application you want, and I answer with a"
            " link that works. Later messages extend it. /help lists the commands."
        )

    async def _help(self, user: UserDTO) -> str:
        lines = [f"{name} — {c.help}" for name, c in self._table.items() if user.is_admin or not c.is_admin_only]
        return "\n".join(["Write what you want to have built, or use a command:", *lines])

    async def _new(self, user: UserDTO) -> str:
        worker_id = await self._sessions.forget(user.id)
        if worker_id is not None:
            await self._sessions.end_worker(worker_id)
        return "We begin anew. Your applications stay as they are."

    async def _projects(self, user: UserDTO) -> str:
        projects = await self._api.list_projects(owner_id=user.id)
        lines = [f"{p.name} — {p.status}" + (f" — {p.deployed_url}" if p.deployed_url else "") for p in projects]
        return "\n".join(lines[:LIST_LIMIT]) or "You have no applications yet. Tell me what you want."

    async def _tasks(self, user: UserDTO) -> str:
        tasks = await self._api.list_tasks(owner_id=user.id)
        lines = [f"{task.type}: {shorten(task.title, 80)} — {task.status}" for task in reversed(tasks)]
        return "\n".join(lines[:LIST_LIMIT]) or "Nothing has been asked yet."

    async def _servers(self, _: UserDTO) -> str:
        servers = await self._api.list_servers()
        return "\n".join(f"{server.handle} — {server.status}" for server in servers) or "There are no servers."

    async def _status(self, user: UserDTO) -> str:
        runs = await self._api.list_runs(owner_id=user.id, is_final=False)
        names = {project.id: project.name for project in await self._api.list_projects(owner_id=user.id)}
        lines = [
            f"{names.get(run.project_id, 'a project')}: {run.kind}, {run.state.lower().replace('_', ' ')}"
            + (f", waiting ({run.waiting_reason})" if run.waiting_reason else "")
            for run in runs
        ]
        if await self._api.get_setting(PAUSE_SETTING):
            lines.append("The platform is paused: no new work is dispatched.")
        return "\n".join(lines) or "Nothing runs at the moment."

    async def _cancel(self, user: UserDTO) -> str:
        runs = await self._api.list_runs(owner_id=user.id, is_final=False)
        for run in runs:
            await self._api.cancel_run(run.id, "cancelled in the chat")
        waiting = await self._api.list_tasks(owner_id=user.id, status=TaskStatus.QUEUED)
        if not runs and not waiting:
            return "Nothing runs at the moment."
        return f"Stopping {len(runs)} run(s)." if runs else "The work has not begun yet; try again in a moment."

    async def _whoami(self, user: UserDTO) -> str:
        role = "administrator" if user.is_admin else "user"
        return f"{user.name or 'no name'}, Telegram id {user.telegram_id}, {role}"

    async def _workers(self, _: UserDTO) -> str:
        workers = await self._api.list_workers()
        lines = [f"{w.id} — {w.worker_type}, {w.agent_type}, {w.status}" for w in reversed(workers)]
        return "\n".join(lines[:LIST_LIMIT]) or "There are no workers."

    async def _incidents(self, _: UserDTO) -> str:
        incidents = await self._api.list_incidents()
        return "\n".join(f"{i.severity}: {i.title} — {i.status}" for i in incidents) or "There are no incidents."

    async def _dead_letters(self, _: UserDTO) -> str:
        letters = await self._api.list_dead_letters(state=DeadLetterState.OPEN)
        lines = [f"{d.stream} {d.entry_id}: {d.reason}, {shorten(d.error, 120)}" for d in letters]
        return "\n".join(lines[:LIST_LIMIT]) or "There are no dead letters."

    async def _pause(self, _: UserDTO) -> str:
        await self._api.put_setting(PAUSE_SETTING, True)
        return "Paused: work that runs goes on, no new work is dispatched. /resume ends it."

    async def _resume(self, _: UserDTO) -> str:
        await self._api.put_setting(PAUSE_SETTING, False)
        return "Work is dispatched again."
