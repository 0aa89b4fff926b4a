"""A whole stack in a home of its own under /tmp, and the handles by which a test observes and breaks it."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from local_stack.children import Child, ChildSpec
from local_stack.demo.facts import describe
from local_stack.layout import Layout
from local_stack.plan import DEMO_USER_ID, GITHUB_EMULATED_OWNER
from local_stack.settings import StackSettings
from local_stack.stack import Stack
from local_stack.sweep import leftovers
from local_stack.testing.conversation import Conversation
from local_stack.testing.waiting import eventually
from local_stack.user_chat import UserChat
from shared.contracts.dto.work import RunDTO
from shared.contracts.topology import PO_INPUT, PO_OUTPUT, TOPOLOGY, Stream
from shared.contracts.vocabulary import TaskType
from shared.redis.bus import Bus
from shared.redis.client import RedisStreamClient
from shared.runtime.settings import find_repository

FIRST_USER = 2_000_001
USERS = 60
WORKERS = 40
LOG_LINE = 700
JOB_LINES = 25
JOB_FAILED = "##[error]"


class Bench:
    """One running stack under test."""

    def __init__(self, stack: Stack, bus: Bus, undo: AsyncExitStack, http: httpx.AsyncClient) -> None:
        self.stack = stack
        self.bus = bus
        self.http = http
        self.api = stack.api
        self._undo = undo
        self._next_user = FIRST_USER

    @property
    def home(self) -> Path:
        return self.stack.layout.home

    async def conversation(self) -> Conversation:
        """Begin a chat as a user nobody has heard of yet."""
        user, self._next_user = self._next_user, self._next_user + 1
        return await self.conversation_as(user)

    async def conversation_as(self, telegram_id: int) -> Conversation:
        """Begin a chat as a certain user."""
        chat = await self._undo.enter_async_context(UserChat(self.stack.plan.telegram_url, telegram_id, "Ada"))
        return Conversation(self.stack, self.bus, chat)

    # the emulated model

    async def put_script(self, script: str | Path) -> None:
        """Replace what the emulated model answers: by a text, or by a file, which may name others beside it."""
        text, beside = (
            (script.read_text(), {"folder": str(script.parent)}) if isinstance(script, Path) else (script, {})
        )
        url = f"{self.stack.plan.anthropic_url}/_emulator/script"
        answer = await self.http.put(url, content=text, params=beside)
        assert answer.is_success, answer.text

    async def recordings(self, after: int = 0) -> list[dict[str, Any]]:
        """Return what the model was asked, oldest first."""
        url = f"{self.stack.plan.anthropic_url}/_emulator/recordings"
        recordings: list[dict[str, Any]] = (await self.http.get(url, params={"after": after})).json()
        return recordings

    async def requests(self, emulator: str) -> list[dict[str, Any]]:
        """Return the requests an emulator (anthropic, github, telegram) got."""
        url = getattr(self.stack.plan, f"{emulator}_url")
        requests: list[dict[str, Any]] = (await self.http.get(f"{url}/_emulator/requests")).json()
        return requests

    async def queue_fault(self, emulator: str, fault: Mapping[str, object]) -> None:
        """Let an emulator fail on demand."""
        url = getattr(self.stack.plan, f"{emulator}_url")
        answer = await self.http.post(f"{url}/_emulator/faults", json=fault)
        assert answer.is_success, answer.text

    # the server of the applications

    async def apps(self) -> dict[str, dict[str, Any]]:
        """Return the applications on the embedded server by name."""
        rows = (await self._server("GET", "/apps")).json()
        entries = rows["apps"] if isinstance(rows, dict) else rows
        return {entry["app"]: entry for entry in entries}

    async def restart_app(self, name: str) -> None:
        answer = await self._server("POST", f"/apps/{name}/restart")
        assert answer.is_success, answer.text

    async def _server(self, method: str, path: str) -> httpx.Response:
        token = self.stack.plan.credentials.deploy_token
        headers = {"authorization": f"Bearer {token}"}
        return await self.http.request(method, f"{self.stack.server_url}{path}", headers=headers)

    # processes

    def child(self, name: str) -> Child:
        return self.stack.supervisor.children[name]

    def signal(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a service; after SIGKILL the supervisor starts it again."""
        self.child(name).signal(number)

    async def remove(self, name: str) -> ChildSpec:
        """Stop a service for good; `add` brings it back."""
        return await self.stack.supervisor.remove(name)

    async def add(self, spec: ChildSpec) -> None:
        """Start a service, perhaps with another environment than before, and wait until it answers."""
        self.stack.supervisor.add(spec)
        await self.until_ready(spec.name)

    async def until_ready(self, *names: str, deadline_seconds: float = 60) -> None:
        """Wait until services answer (again)."""
        await self.stack.supervisor.wait_ready(list(names), deadline_seconds)

    async def until_restarted(self, name: str, pid: int | None, deadline_seconds: float = 60) -> None:
        """Wait until a service lives and answers under another pid."""

        async def ask() -> bool | None:
            child = self.child(name)
            return True if child.is_ready and child.pid != pid else None

        await eventually(ask, deadline_seconds, f"a new {name}", lambda: self.child(name).log_tail(3))

    # what became of it

    async def run_of(self, chat: Conversation, kind: TaskType, deadline_seconds: float = 60, number: int = 1) -> RunDTO:
        """Return a user's n-th run of a kind, once it exists."""
        facts = await chat.facts()

        async def ask() -> RunDTO | None:
            runs = await facts.runs(kind)
            return runs[number - 1] if len(runs) >= number else None

        return await eventually(ask, deadline_seconds, f"{kind} run {number}", chat.told)

    async def until_node(self, run_id: str, node: str, deadline_seconds: float = 60) -> None:
        """Wait until a run has entered a node of its graph."""
        seen: list[str] = []

        async def ask() -> bool | None:
            seen[:] = [event.payload.node or event.type for event in await self.api.list_events(run_id)]
            return True if node in seen else None

        await eventually(ask, deadline_seconds, f"node {node} of {run_id}", lambda: seen[-5:])

    async def lines(self, run_id: str) -> list[str]:
        """Return one line per event of a run, nodes left out, for people and assertions."""
        events = await self.api.list_events(run_id)
        return [describe(event) for event in events if not event.type.startswith("Node")]

    async def pending(self, workers: Iterable[str] = ()) -> dict[str, int]:
        """Return the groups that have not taken or acknowledged everything, by stream and group."""
        streams: list[Stream[Any]] = [stream for stream in TOPOLOGY if "{" not in stream.name]
        for worker in workers:
            streams += [PO_INPUT.at(worker), PO_OUTPUT.at(worker)]
        found = {}
        for stream in streams:
            for name, group in (await self.bus.stats(stream)).groups.items():
                open_entries = group.pending + (group.lag or 0)
                if open_entries:
                    found[f"{stream.name} {name}"] = open_entries
        return found

    async def until_nothing_pends(self, workers: Iterable[str] = (), deadline_seconds: float = 30) -> None:
        """Wait until every group took and acknowledged everything."""
        known = list(workers)
        seen: dict[str, int] = {}

        async def ask() -> bool | None:
            seen.clear()
            seen.update(await self.pending(known))
            return None if seen else True

        await eventually(ask, deadline_seconds, "an end of all pending entries", lambda: seen)

    def trouble(self) -> list[str]:
        """Return the last lines of every failed job, then the error lines of the services' logs."""
        found = []
        logs = self.stack.layout.emulators / "github" / "logs"
        for path in sorted(logs.glob("*.txt"), key=lambda log: int(log.stem)):
            lines = path.read_text(errors="replace").splitlines()
            if any(JOB_FAILED in line for line in lines):
                found += [f"job {path.stem}: {line[:LOG_LINE]}" for line in lines[-JOB_LINES:]]
        for path in sorted(self.stack.layout.logs.glob("*.log")):
            for line in path.read_text(errors="replace").splitlines():
                if _is_error(line):
                    found.append(f"{path.stem}: {line[:LOG_LINE]}")
        return found


def _is_error(line: str) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return line.startswith(("Traceback", "AssertionError"))
    return isinstance(entry, dict) and entry.get("level") in ("error", "critical")


@asynccontextmanager
async def running_bench(**settings: object) -> AsyncIterator[Bench]:
    """Run a stack for the length of the block; nothing of it is left afterwards, and that is checked."""
    home = Path(tempfile.mkdtemp(prefix="codegen-e2e-", dir="/tmp"))
    home.chmod(0o755)
    try:
        async with AsyncExitStack() as undo:
            layout = Layout(home=home, shared_home=find_repository() / ".codegen")
            stack = await undo.enter_async_context(Stack(_settings(settings), layout))
            http = await undo.enter_async_context(httpx.AsyncClient(timeout=30))
            bus = RedisStreamClient(url=stack.plan.redis_url, service="e2e")
            undo.push_async_callback(bus.close)
            yield Bench(stack, bus, undo, http)
        left = leftovers(home)
        assert not left, f"the stack left processes behind: {left}"
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _settings(more: Mapping[str, object]) -> StackSettings:
    """Return settings without any real account, whatever the environment says."""
    users = ",".join(str(user) for user in (DEMO_USER_ID, *range(FIRST_USER, FIRST_USER + USERS)))
    emulated: dict[str, object] = {
        "anthropic_api_key": None,
        "telegram_bot_token": None,
        "github_app_id": None,
        "telegram_allowed_users": users,
        "telegram_admins": users,
        "max_concurrent_workers": WORKERS,
    }
    return StackSettings().model_copy(update={**emulated, **more})


def repository_of(project: str) -> str:
    """Return the full name of a project's emulated repository."""
    return f"{GITHUB_EMULATED_OWNER}/{project}"
