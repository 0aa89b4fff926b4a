"""One lane per user: messages are handed to the PO worker one after the other, in the order they came.

The rows are the truth: a lane looks at the oldest unanswered message and does the next thing for it, so it can be
stopped anywhere and begun again. Nothing here waits for a worker; answers wake the lane.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from shared.clients.api_port import Api
from shared.contracts.base import correlation
from shared.contracts.dto.accounts import ChatMessageDTO, ChatMessageUpdate
from shared.contracts.dto.work import TaskExecutionCreate
from shared.contracts.queues.workers import POWorkerInput, POWorkerOutput, WorkerResponse
from shared.contracts.topology import PO_INPUT
from shared.contracts.vocabulary import AgentType, ChatDirection, ChatMessageState, ResultStatus
from shared.infra import Clock
from shared.logging import get_logger
from shared.redis.bus import Bus
from shared.redis.subscription import Delivery
from telegram_bot.instructions import prompt_for
from telegram_bot.sender import Sender
from telegram_bot.sessions import Sessions, creation_request, user_of_request
from telegram_bot.text import shorten

MAX_ATTEMPTS = 3
GRACE = timedelta(seconds=60)
ASK_AGAIN = timedelta(seconds=20)


def request_of(message: ChatMessageDTO, attempt: int) -> str:
    """Return the request id of one attempt to answer a message."""
    return f"chat:{message.id}:{attempt}"


def attempt_of(request_id: str | None) -> int:
    return int(request_id.rsplit(":", 1)[1]) if request_id else 0


def message_of(request_id: str) -> int | None:
    """Return the chat message a request belongs to."""
    parts = request_id.split(":")
    return int(parts[1]) if len(parts) == 3 and parts[0] == "chat" and parts[1].isdigit() else None


class Lanes:
    """Moves every user's oldest unanswered message forward."""

    def __init__(
        self,
        api: Api,
        bus: Bus,
        sessions: Sessions,
        sender: Sender,
        clock: Clock,
        agent_type: AgentType,
        turn_seconds: int,
    ) -> None:
        self._api = api
        self._bus = bus
        self._sessions = sessions
        self._sender = sender
        self._clock = clock
        self._agent_type = agent_type
        self._turn = timedelta(seconds=turn_seconds)
        self._locks: dict[str, asyncio.Lock] = {}
        self._asked: dict[str, float] = {}
        self._log = get_logger(__name__)
        self.on_worker: asyncio.Queue[str] = asyncio.Queue()

    async def advance_all(self) -> None:
        """Move every lane that has something unanswered."""
        waiting = [
            *await self._api.list_chat_messages(direction=ChatDirection.IN, state=ChatMessageState.RECEIVED),
            *await self._api.list_chat_messages(direction=ChatDirection.IN, state=ChatMessageState.DISPATCHED),
        ]
        for user_id in {message.user_id for message in waiting}:
            await self.advance(user_id)

    async def advance(self, user_id: str) -> None:
        """Do the next thing for a user's oldest unanswered message."""
        async with self._locks.setdefault(user_id, asyncio.Lock()):
            message = await self._oldest(user_id)
            if message is None:
                return
            with correlation(f"chat-{message.id}"):
                if message.state is ChatMessageState.DISPATCHED:
                    await self._check_deadline(message)
                else:
                    await self._dispatch(message)

    async def _oldest(self, user_id: str) -> ChatMessageDTO | None:
        rows = [
            row
            for state in (ChatMessageState.RECEIVED, ChatMessageState.DISPATCHED)
            for row in await self._api.list_chat_messages(user_id=user_id, direction=ChatDirection.IN, state=state)
        ]
        return min(rows, key=lambda row: row.id, default=None)

    async def _dispatch(self, message: ChatMessageDTO) -> None:
        attempt = attempt_of(message.request_id) + 1
        worker_id = await self._sessions.live_worker(message.user_id)
        if worker_id is None:
            request = creation_request(message.user_id, message.id, attempt)
            if self._clock.monotonic() - self._asked.get(request, float("-inf")) > ASK_AGAIN.total_seconds():
                self._asked[request] = self._clock.monotonic()
                await self._sessions.ask_for_worker(message.user_id, request)
            return
        self.on_worker.put_nowait(worker_id)
        request_id = request_of(message, attempt)
        turn = POWorkerInput(
            request_id=request_id,
            user_id=message.user_id,
            prompt=prompt_for(message.text),
            timeout=int(self._turn.total_seconds()),
        )
        await self._bus.publish(PO_INPUT.at(worker_id), turn)
        await self._api.update_chat_message(
            message.id,
            ChatMessageUpdate(state=ChatMessageState.DISPATCHED, request_id=request_id, worker_id=worker_id),
        )

    async def _check_deadline(self, message: ChatMessageDTO) -> None:
        if message.worker_id is not None:
            self.on_worker.put_nowait(message.worker_id)
        if self._clock.now() - message.updated_at > self._turn + GRACE:
            await self._retry_or_give_up(message, "no answer came in time")

    async def _retry_or_give_up(self, message: ChatMessageDTO, error: str) -> None:
        if attempt_of(message.request_id) < MAX_ATTEMPTS:
            self._log.warning("turn_repeated", message_id=message.id, error=error)
            await self._sessions.forget(message.user_id)
            await self._api.update_chat_message(message.id, ChatMessageUpdate(state=ChatMessageState.RECEIVED))
            return
        text = f"I could not answer this message: {shorten(error, 300)}. Please send it again later."
        await self._sender.say(message.user_id, message.chat_id, f"answer:{message.id}", text)
        await self._api.update_chat_message(message.id, ChatMessageUpdate(state=ChatMessageState.FAILED))

    async def on_response(self, response: WorkerResponse, _: Delivery) -> None:
        """Hear worker-manager: a worker is there, or why not."""
        user_id = user_of_request(response.request_id)
        if user_id is None:
            return
        if response.success and response.worker_id is not None:
            await self._sessions.remember(user_id, response.worker_id)
        elif not response.success:
            self._log.warning("worker_refused", code=response.code, error=response.error)
            message = await self._oldest(user_id)
            if message is not None and not response.retryable:
                text = f"I cannot work at the moment: {shorten(response.error or 'no worker', 300)}."
                await self._sender.say(user_id, message.chat_id, f"answer:{message.id}", text)
                await self._api.update_chat_message(message.id, ChatMessageUpdate(state=ChatMessageState.FAILED))
        await self.advance(user_id)

    async def on_output(self, output: POWorkerOutput, delivery: Delivery) -> None:
        """Hear a PO worker: pass on what it says; a final answer ends the turn."""
        message_id = message_of(output.request_id)
        rows = await self._api.list_chat_messages(user_id=output.user_id, request_id=output.request_id)
        message = next((row for row in rows if row.id == message_id), None)
        if message is None:
            self._log.warning("output_without_message", request_id=output.request_id)
            return
        if not output.is_final:
            mark = output.sequence or delivery.entry_id
            await self._sender.say(message.user_id, message.chat_id, f"say:{output.request_id}:{mark}", output.text)
            return
        await self._record(output)
        if message.state is ChatMessageState.DISPATCHED:
            if output.status is ResultStatus.SUCCESS and output.text.strip():
                await self._sender.say(message.user_id, message.chat_id, f"answer:{message.id}", output.text)
                await self._api.update_chat_message(message.id, ChatMessageUpdate(state=ChatMessageState.ANSWERED))
            else:
                await self._retry_or_give_up(message, output.error or "the answer was empty")
        await self.advance(message.user_id)

    async def _record(self, output: POWorkerOutput) -> None:
        if output.usage is None:
            return
        await self._api.record_execution(
            TaskExecutionCreate(
                request_id=output.request_id,
                stage="po",
                agent_type=self._agent_type,
                owner_id=output.user_id,
                worker_id=output.worker_id,
                status=output.status,
                usage=output.usage,
                duration_ms=output.duration_ms,
            )
        )
