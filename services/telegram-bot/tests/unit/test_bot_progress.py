"""One message per run, edited in place, and one at its end."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from shared.contracts.dto.accounts import ChatMessageCreate, UserUpsert
from shared.contracts.dto.work import (
    EvidenceCreate,
    ProjectCreate,
    RunClaim,
    RunCreate,
    RunDTO,
    RunFacts,
    TaskCreate,
    TransitionRequest,
)
from shared.contracts.queues.events import RunEvent, RunEventPayload
from shared.contracts.run_machine import RunEventName
from shared.contracts.vocabulary import ChatDirection, ChatMessageState, RunEventType, TaskType, WaitingReason
from shared.redis.subscription import Delivery
from shared.testing.api import FakeApi
from shared.testing.clock import FakeClock
from telegram_bot.chat_fake import FakeChat
from telegram_bot.progress import Progress
from telegram_bot.sender import Sender

CHAT = 7
DELIVERY = Delivery(stream="run:events", entry_id="1-0", group="telegram-bot", attempt=1)


@dataclass
class World:
    chat: FakeChat
    api: FakeApi
    clock: FakeClock
    progress: Progress
    run: RunDTO

    async def move(self, event: RunEventName, reason: str | None = None, facts: RunFacts | None = None) -> None:
        """Move the run and let the bot hear every event it has not heard."""
        before = (await self.api.list_events(self.run.id))[-1].seq
        body = TransitionRequest(
            event=event, fence=self.run.fence, key=event, reason=reason, facts=facts or RunFacts(), message=None
        )
        self.run = await self.api.transition(self.run.id, body)
        await self.hear(from_seq=before + 1)

    async def hear(self, from_seq: int = 1) -> None:
        for event in await self.api.list_events(self.run.id, from_seq=from_seq):
            await self.progress.on_event(
                RunEvent(
                    run_id=self.run.id,
                    task_id=self.run.task_id,
                    project_id=self.run.project_id,
                    user_id=self.run.owner_id,
                    kind=self.run.kind,
                    seq=event.seq,
                    type=event.type,
                    payload=event.payload,
                ),
                DELIVERY,
            )


async def _world(kind: TaskType) -> World:
    clock = FakeClock()
    chat, api = FakeChat(), FakeApi(clock)
    user = await api.upsert_user(UserUpsert(telegram_id=CHAT, name="Ada"))
    await api.create_chat_message(
        ChatMessageCreate(
            user_id=user.id,
            chat_id=CHAT,
            direction=ChatDirection.IN,
            dedupe_key="update:1",
            text="Build",
            state=ChatMessageState.ANSWERED,
        )
    )
    project = await api.create_project(ProjectCreate(name="shop", owner_id=user.id))
    task = await api.create_task(TaskCreate(project_id=project.id, type=kind, title="Build a shop"))
    run = await api.create_run(RunCreate(task_id=task.id, key="k"))
    run = await api.claim_run(run.id, RunClaim(owner="test"))
    return World(chat, api, clock, Progress(api, Sender(chat, api), clock, 2.0), run)


async def test_progress_is_one_message_and_edits_keep_their_interval() -> None:
    world = await _world(TaskType.ENGINEERING)
    await world.move(RunEventName.START_PLANNING)
    await world.move(RunEventName.PLAN_SUCCEEDED)
    assert len(world.chat.texts(CHAT)) == 1
    assert world.chat.edits == []
    world.clock.advance(3)
    await world.progress.flush()
    assert "plan ready" in world.chat.texts(CHAT)[0]
    assert len(world.chat.edits) == 1


async def test_a_failed_run_says_why_in_a_message_of_its_own_once() -> None:
    world = await _world(TaskType.ENGINEERING)
    await world.move(RunEventName.START_PLANNING)
    await world.move(RunEventName.PLAN_FAILED, reason="the agent gave no result")
    await world.hear()
    texts = world.chat.texts(CHAT)
    assert len(texts) == 2
    assert "the agent gave no result" in texts[0]
    assert texts[1].startswith("Sorry, building shop failed")


async def test_a_deployed_run_ends_with_the_link() -> None:
    world = await _world(TaskType.DEPLOY)
    for event in (
        RunEventName.START_ANALYSIS,
        RunEventName.ENV_ANALYZED,
        RunEventName.SECRETS_RESOLVED,
        RunEventName.WORKFLOW_SUCCEEDED,
    ):
        await world.move(event)
    await world.api.add_evidence(world.run.id, EvidenceCreate(kind="smoke", conclusion="success"))
    await world.move(RunEventName.SMOKE_PASSED, facts=RunFacts(deployed_url="http://127.0.0.1:8100/"))
    assert world.chat.texts(CHAT)[-1] == "shop is running: http://127.0.0.1:8100/"


@pytest.mark.parametrize("reason", list(WaitingReason))
async def test_waiting_is_told_in_words(reason: WaitingReason) -> None:
    world = await _world(TaskType.ENGINEERING)
    event = RunEvent(
        run_id=world.run.id,
        task_id=world.run.task_id,
        project_id=world.run.project_id,
        user_id=world.run.owner_id,
        kind=TaskType.ENGINEERING,
        seq=9,
        type=RunEventType.WAITING,
        payload=RunEventPayload(reason=reason),
    )
    await world.progress.on_event(event, DELIVERY)
    await world.progress.on_event(event, DELIVERY)
    (text,) = world.chat.texts(CHAT)
    assert text.startswith("Building shop waits: ")
    assert len(text) > len("Building shop waits: ") + 10
