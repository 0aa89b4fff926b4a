"""WorkerWrapper: the parts of one worker put together, and its life from the first answer of Redis to the last."""

from __future__ import annotations

import asyncio
import shlex
from typing import Any

from redis.asyncio import Redis

from shared.contracts.vocabulary import AgentType, WorkerType
from shared.logging import redact
from shared.redis.client import RedisStreamClient
from shared.runtime.errors import PlatformError
from worker_wrapper.connections import sibling
from worker_wrapper.desk import Desk, Reports
from worker_wrapper.environment import agent_environment, plain_environment
from worker_wrapper.errors import Interrupted
from worker_wrapper.git import Git
from worker_wrapper.heartbeat import Heartbeat
from worker_wrapper.lifecycle import Lifecycle
from worker_wrapper.outbox import DiskOutbox, MemoryOutbox
from worker_wrapper.patience import Patience
from worker_wrapper.process import ChildProcesses
from worker_wrapper.profiles import DeveloperProfile, PoProfile
from worker_wrapper.project_tests import ProjectTests
from worker_wrapper.runners.base import AgentRunner, Session
from worker_wrapper.runners.claude import ClaudeRunner
from worker_wrapper.runners.factory import FactoryRunner
from worker_wrapper.runners.mock import CommandRunner, MockRunner
from worker_wrapper.session import SessionManager
from worker_wrapper.settings import WrapperSettings, local_settings
from worker_wrapper.stages import StageExecutor
from worker_wrapper.status import StatusHash
from worker_wrapper.transcript import Transcript
from worker_wrapper.turns import AgentTurns
from worker_wrapper.workspace import Workspace

BLOCK_MS = 2000
TRANSCRIPT = "transcript.jsonl"


class WorkerWrapper:
    """Reads messages, runs agents, publishes what came of it.

    Without `settings` it works in the current directory, keeps nothing on disk and reads the shared pool;
    `agent_command` replaces the agent's command line, its prompt arrives on stdin.
    """

    def __init__(
        self,
        *,
        redis: Redis,
        worker_id: str,
        worker_type: str = WorkerType.DEVELOPER,
        agent_command: str | None = None,
        settings: WrapperSettings | None = None,
        children: ChildProcesses | None = None,
        stop: asyncio.Event | None = None,
    ) -> None:
        self._settings = settings or local_settings(worker_id, worker_type, agent_command)
        self._stop = stop or asyncio.Event()
        self._redis = sibling(redis)
        self._bus = RedisStreamClient(self._redis, service="worker-wrapper")
        self._patience = Patience(self._settings.limits.redis_patience_seconds, self._stop)
        self._lifecycle = Lifecycle(self._bus, self._settings.worker_id)
        self._heartbeat = Heartbeat(redis, self._settings.worker_id, self._settings.limits.heartbeat_seconds)
        self._desk = self._make_desk(redis, children or ChildProcesses())

    async def process_one_message(self, block_ms: int | None = None) -> bool:
        """Handle one message to its acknowledgement; False when none is there."""
        return await self._desk.process_one(block_ms)

    async def run(self) -> None:
        """Live until told to stop. RedisLost when Redis stays away for too long."""
        try:
            await self._patience.keep_trying(self._bus.ping)
            await self._patience.keep_trying(self._lifecycle.started)
            await self._desk.resend()
            await self._work_beating()
        except Interrupted:
            return

    async def say_stopped(self) -> None:
        """Publish the last event of this worker."""
        await self._lifecycle.stopped()

    async def close(self) -> None:
        """Close the connections."""
        await self._bus.close()
        await self._redis.aclose()

    async def _work_beating(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                heart = tasks.create_task(self._heartbeat.run(self._stop), name="heartbeat")
                await self._work_until_stopped()
                heart.cancel()
        except* PlatformError as group:
            raise group.exceptions[0] from None

    async def _work_until_stopped(self) -> None:
        while not self._stop.is_set():
            try:
                await self._desk.process_one(BLOCK_MS)
            except Interrupted:
                return

    def _make_desk(self, redis: Redis, children: ChildProcesses) -> Desk[Any, Any]:
        settings = self._settings
        outbox = DiskOutbox(settings.state_dir / "outbox") if settings.state_dir else MemoryOutbox()
        transcript = Transcript(settings.workspace / TRANSCRIPT, redact) if settings.state_dir else None
        turns = AgentTurns(self._make_runner, children, settings.limits, transcript)
        profile: PoProfile | DeveloperProfile
        if settings.worker_type is WorkerType.PO:
            owner = settings.session_owner or settings.worker_id
            sessions = SessionManager(redis, owner, settings.limits.session_ttl_seconds)
            profile = PoProfile(settings, turns, sessions, self._patience, self._stop)
        else:
            plain = plain_environment(settings.environ)
            stages = StageExecutor(
                turns,
                Workspace(settings.workspace, Git(children, plain, settings.state_dir), self._stop),
                ProjectTests(children, plain, settings.limits.kill_grace_seconds),
                lambda request_id: agent_environment(settings, request_id, settings.user_id),
                self._stop,
            )
            profile = DeveloperProfile(settings, stages)
        reports = Reports(self._lifecycle, StatusHash(redis, settings.worker_id))
        return Desk(self._bus, profile, settings.consumer_name, outbox, reports, self._patience)

    def _make_runner(self, session: Session | None) -> AgentRunner:
        settings = self._settings
        session_id = session.session_id if session else None
        is_new = session is not None and session.is_new
        if settings.agent_command is not None:
            return CommandRunner(tuple(shlex.split(settings.agent_command)))
        if settings.agent_type is AgentType.MOCK:
            return MockRunner(session_id, settings.environ.get("MOCK_AGENT_SCRIPT"))
        if settings.agent_type is AgentType.FACTORY:
            return FactoryRunner(None if is_new else session_id, settings.agent_model)
        return ClaudeRunner(session_id, "stream-json", is_new, settings.agent_model)
