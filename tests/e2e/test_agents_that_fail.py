"""Agents that say nothing, rubbish or too late, write code that is wrong or die: each ends as the outcome table says.

All stories begin together, a few at a time, each with a user of its own; a test waits for its story.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
import pytest_asyncio
from pydantic import JsonValue

from local_stack.testing import Bench, Conversation, Work, eventually, fails, is_link, result, run, say, script, write
from local_stack.testing.answers import APPROVED, PLANNED, Attempt, coded
from local_stack.testing.applications import answering, answers_now, expects_now, passing_only_here
from local_stack.testing.bench import repository_of
from local_stack.user_chat import ChatEvent
from shared.contracts.dto.work import EvidenceDTO, RunDTO
from shared.contracts.run_machine import RunState
from shared.contracts.vocabulary import RunEventType, TaskType, WaitingReason, WorkerStatus, WorkerType

pytestmark = pytest.mark.timeout(420)
STAGE_SECONDS = 45
SETTINGS = {"stage_timeout_seconds": STAGE_SECONDS}
TOGETHER = 3
KILLED = "killed, then right only here"
STORY_SECONDS = 360


def _good(mark: str) -> Attempt:
    return coded(answering(mark))


def _rejected(finding: str) -> Attempt:
    findings: list[JsonValue] = [{"severity": "major", "file": "app/routers/answer.py", "line": 6, "message": finding}]
    return (result(approved=False, summary=f"Not yet: {finding}", findings=findings),)


REFUSED = (fails(400, "invalid_request_error", "the model has fallen over"),)
HANGING = (write(answering("never")).after(600),)
# Most runs meet two failures, in different stages or attempts.
WORKS = {
    "silent, then refusing": Work(
        mark="silent running",
        project="silent-app",
        plan=[(say("silent running: I thought about it."), say("silent running: and again.")), PLANNED],
        code=[REFUSED, REFUSED, _good("silent running")],
    ),
    "garbled, then hanging, then red": Work(
        mark="garbled words",
        project="garbled-app",
        plan=[(say("garbled words: <result>{oh no</result>").using(70, 7), PLANNED[0].using(80, 8))],
        code=[
            HANGING,
            coded(answering("wrong", expected="garbled words")),
            coded({"docs/fix.md": "fixed\n"}, answers_now("garbled words")),
        ],
    ),
    KILLED: Work(
        mark="only on my machine",
        project="only-here-app",
        code=[
            (run("sleep 600"),),
            coded(passing_only_here("only on my machine")),
            coded({"docs/why.md": "CI has no such file\n"}, expects_now("only on my machine")),
        ],
    ),
    "rejected": Work(
        mark="rejected drafts",
        project="rejected-app",
        code=[
            coded(answering("first draft")),
            coded({"docs/second.md": "second\n"}, answers_now("second draft"), expects_now("second draft")),
            coded({"docs/third.md": "third\n"}, answers_now("rejected drafts"), expects_now("rejected drafts")),
        ],
        review=[_rejected("the first draft is too short"), _rejected("the second draft is too long"), APPROVED],
    ),
    "hopeless": Work(
        mark="red for ever",
        project="hopeless-app",
        code=[
            coded(answering("one", expected="red for ever")),
            coded({"docs/two.md": "two\n"}, answers_now("two")),
            coded({"docs/three.md": "three\n"}, answers_now("three")),
        ],
    ),
    "limited": Work(
        mark="limited by quota",
        project="limited-app",
        code=[(fails(429, "rate_limit_error", "too many tokens this hour"),)],
    ),
    "locked-out": Work(
        mark="locked out of it",
        project="locked-out-app",
        code=[(fails(401, "authentication_error", "invalid x-api-key"),)],
    ),
}


@dataclass
class Story:
    """What became of one wish."""

    name: str
    chat: Conversation
    run: RunDTO
    lines: list[str]
    evidence: list[EvidenceDTO]

    @property
    def states(self) -> list[str]:
        return [line.rpartition("→ ")[2] for line in self.lines if "→" in line]

    def tell(self) -> None:
        print(f"--- {self.name}: {self.run.state}, {self.run.code_attempts} attempts, {self.run.review_rounds} rounds")
        print("\n".join(self.lines))
        print(self.chat.told(6))


Stories = Mapping[str, "asyncio.Task[Story]"]


def _is_end(event: ChatEvent) -> bool:
    return is_link(event) or (event.from_bot and (event.text or "").startswith(("Sorry, ", "The work on ")))


async def _play(bench: Bench, name: str, turn: asyncio.Semaphore) -> Story:
    async with turn:
        chat = await bench.conversation()
        await chat.say(WORKS[name].wish)
        engineering = await bench.run_of(chat, TaskType.ENGINEERING)
        if name == KILLED:
            await _kill_agent(bench, engineering.id)
        if name in ("limited", "locked-out"):
            await _until_waiting(bench, engineering.id)
            return await _story(bench, name, chat, engineering.id)
        await chat.until(_is_end, STORY_SECONDS, "how it ended")
        return await _story(bench, name, chat, engineering.id)


async def _story(bench: Bench, name: str, chat: Conversation, run_id: str) -> Story:
    run = await bench.api.get_run(run_id)
    return Story(name, chat, run, await bench.lines(run_id), await bench.api.list_evidence(run_id))


async def _until_waiting(bench: Bench, run_id: str) -> None:
    async def ask() -> WaitingReason | None:
        return (await bench.api.get_run(run_id)).waiting_reason

    await eventually(ask, 120, f"run {run_id} waiting for something")


async def _kill_agent(bench: Bench, run_id: str) -> None:
    """End the agent of a run with SIGKILL while it does what the model's first answer says."""
    await bench.until_node(run_id, "await_code", 120)

    async def answered() -> bool | None:
        return True if await _prompts(bench, "code", WORKS[KILLED].mark) else None

    await eventually(answered, 60, "the model's first answer")

    async def agent() -> psutil.Process | None:
        for process in psutil.process_iter():
            try:
                asked_by = process.environ().get("WORKER_REQUEST_ID", "")
                if process.name().startswith("claude") and asked_by.startswith(f"{run_id}:code"):
                    return process
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return None

    process = await eventually(agent, 60, "the agent's process")
    process.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stories(bench: Bench) -> AsyncIterator[Stories]:
    """Every story as a task that has begun."""
    await bench.put_script(script(WORKS.values()))
    turn = asyncio.Semaphore(TOGETHER)
    tasks = {name: asyncio.create_task(_play(bench, name, turn)) for name in WORKS}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _told(stories: Stories, name: str) -> Story:
    story = await asyncio.shield(stories[name])
    story.tell()
    return story


async def _requests_to(bench: Bench, project: str, end: str, method: str = "POST") -> list[dict[str, Any]]:
    return [
        request
        for request in await bench.requests("github")
        if request["method"] == method and request["path"] == f"/repos/{repository_of(project)}{end}"
    ]


async def _answer_of(bench: Bench, story: Story) -> str:
    link = next(event for event in story.chat.heard if is_link(event))
    text = link.text or ""
    url = text[text.index("http://") :].split()[0]
    answer: str = (await bench.http.get(f"{url}answer")).json()["answer"]
    return answer


async def _prompts(bench: Bench, stage: str, mark: str) -> list[str]:
    """Return the first prompts of a stage's conversations, oldest first."""
    found = []
    for recording in await bench.recordings():
        messages = recording["request"]["messages"]
        prompt = "\n".join(str(message["content"]) for message in messages)
        is_first = all(message["role"] != "assistant" for message in messages)
        if recording["stage"] == stage and mark in prompt and is_first:
            found.append(prompt)
    return found


async def test_an_agent_without_a_result_gets_one_repair_turn_and_then_a_new_attempt(
    bench: Bench, stories: Stories
) -> None:
    story = await _told(stories, "silent, then refusing")
    assert story.run.state is RunState.COMPLETED
    assert any("plan attempt 1 of 3 failed (no_result)" in line for line in story.lines)
    assert any("silent running: and again." in line for line in story.lines), "what came instead is quoted"
    assert any("plan attempt 1 of 3" in text for text in story.chat.texts_of("building"))
    assert await _answer_of(bench, story) == "silent running"


async def test_a_malformed_result_is_repaired_in_the_same_session_and_costs_no_attempt(
    bench: Bench, stories: Stories
) -> None:
    story = await _told(stories, "garbled, then hanging, then red")
    assert story.run.state is RunState.COMPLETED
    assert not any("plan attempt 1 of" in line for line in story.lines)
    assert [line for line in story.lines if line.startswith("plan: ") and " in, " in line] == ["plan: 150 in, 15 out"]


async def test_an_agent_that_exits_with_an_error_is_tried_again_and_its_words_are_told(
    bench: Bench, stories: Stories
) -> None:
    story = await _told(stories, "silent, then refusing")
    assert story.run.state is RunState.COMPLETED
    failed = [line for line in story.lines if "failed (agent_error)" in line]
    assert [f"code attempt {number} of 3" in line for number, line in enumerate(failed, 1)] == [True, True]
    assert all("the model has fallen over" in line for line in failed)
    assert story.run.code_attempts == 3
    assert story.chat.texts_of("the model has fallen over")


async def test_an_agent_that_hangs_meets_its_deadline_and_is_tried_again(bench: Bench, stories: Stories) -> None:
    story = await _told(stories, "garbled, then hanging, then red")
    assert story.run.state is RunState.COMPLETED
    assert any("code attempt 1 of 3 failed (timeout)" in line for line in story.lines)
    assert story.chat.texts_of("the stage took too long")
    assert await _answer_of(bench, story) == "garbled words"


async def test_a_change_rejected_twice_goes_back_to_coding_with_the_findings(bench: Bench, stories: Stories) -> None:
    story = await _told(stories, "rejected")
    assert story.run.state is RunState.COMPLETED
    assert story.run.review_rounds == 2
    prompts = await _prompts(bench, "code", WORKS["rejected"].mark)
    assert ["the first draft is too short" in text for text in prompts] == [False, True, False]
    assert ["the second draft is too long" in text for text in prompts] == [False, False, True]
    assert story.chat.texts_of("review asks for changes")
    assert len(await _requests_to(bench, "rejected-app", "/pulls")) == 1
    assert await _answer_of(bench, story) == "rejected drafts"


async def test_checks_that_are_red_in_a_clean_checkout_send_the_run_back_with_their_log(
    bench: Bench, stories: Stories
) -> None:
    story = await _told(stories, KILLED)
    assert story.run.state is RunState.COMPLETED
    assert [entry.conclusion for entry in story.evidence if entry.kind == "checks"] == ["failure", "success"]
    *before, after_the_checks = await _prompts(bench, "code", WORKS[KILLED].mark)
    assert ["data/answer.txt" in prompt for prompt in before] == [False, False]
    assert "No such file or directory" in after_the_checks
    assert "data/answer.txt" in after_the_checks
    assert story.chat.texts_of("checks failed, back to the code")
    heads = {entry.sha for entry in story.evidence if entry.kind == "remote_head"}
    assert len(heads) == 2
    assert await _answer_of(bench, story) == "only on my machine"


async def test_code_that_breaks_its_own_test_never_reaches_the_checks(bench: Bench, stories: Stories) -> None:
    story = await _told(stories, "garbled, then hanging, then red")
    assert story.run.state is RunState.COMPLETED
    assert story.run.code_attempts == 3
    assert any("code attempt 2 of 3: the tests are red" in line for line in story.lines)
    assert [entry.conclusion for entry in story.evidence if entry.kind == "checks"] == ["success"]
    assert [entry.sha for entry in story.evidence if entry.kind == "remote_head"] == [story.run.facts.head_sha]
    *_, last = await _prompts(bench, "code", WORKS[story.name].mark)
    assert "the tests are red" in last
    assert "test_the_answer" in last
    assert story.states.count("REVIEWING") == 2, "one review only: the red attempt was not reviewed"


async def test_three_red_attempts_end_the_run_and_the_chat_says_why(bench: Bench, stories: Stories) -> None:
    story = await _told(stories, "hopeless")
    assert story.run.state is RunState.FAILED
    assert story.run.code_attempts == 3
    assert story.run.facts.pr_number is None
    assert await _requests_to(bench, "hopeless-app", "/pulls") == []
    [last] = [text for text in story.chat.sent_by_bot() if text.startswith("Sorry, ")]
    assert last.startswith("Sorry, building hopeless-app failed")
    assert "tests" in last
    await _until_no_developer(bench, story.run.id)
    tasks = await bench.api.list_tasks(owner_id=story.run.owner_id)
    assert [(task.type, task.status) for task in tasks] == [("engineering", "failed")]


async def test_an_agent_that_is_killed_is_a_crash_and_a_new_attempt(bench: Bench, stories: Stories) -> None:
    story = await _told(stories, KILLED)
    assert story.run.state is RunState.COMPLETED
    assert any("code attempt 1 of 3 failed (crash)" in line for line in story.lines)
    assert story.run.code_attempts == 3


async def test_a_provider_limit_makes_the_run_wait_and_a_cancel_ends_it(bench: Bench, stories: Stories) -> None:
    story = await _told(stories, "limited")
    assert story.run.waiting_reason is WaitingReason.QUOTA
    assert story.run.waiting_until is not None
    assert story.run.code_attempts == 1
    await story.chat.until_text("the model's limit is reached", 20)
    await _cancel(bench, story)


async def test_a_refused_key_makes_the_run_wait_for_a_person_and_administrators_hear_of_it(
    bench: Bench, stories: Stories
) -> None:
    story = await _told(stories, "locked-out")
    assert story.run.waiting_reason is WaitingReason.HUMAN
    await story.chat.until_text("somebody has to mend something first", 20)
    note = await story.chat.until_text("A run waits for a person", 20)
    assert "could not sign in" in (note.text or "")
    await _cancel(bench, story)


async def _cancel(bench: Bench, story: Story) -> None:
    await story.chat.say("/cancel")
    event = await story.chat.until_text("was cancelled", 60)
    print(event.text)
    assert (await bench.api.get_run(story.run.id)).state is RunState.CANCELLED
    await _until_no_developer(bench, story.run.id)


async def _until_no_developer(bench: Bench, run_id: str) -> None:
    """Wait until the run's worker is gone."""

    async def ask() -> bool | None:
        workers = [w for w in await bench.api.list_workers() if w.worker_type is WorkerType.DEVELOPER]
        live = [w.id for w in workers if w.run_id == run_id and w.status in (WorkerStatus.RUNNING, "STARTING")]
        folders = [w.id for w in workers if w.run_id == run_id and (bench.home / "workers" / w.id).exists()]
        return None if live or folders else True

    await eventually(ask, 30, f"the end of the worker of {run_id}")


async def test_afterwards_nothing_pends_and_every_run_is_final_or_waits(bench: Bench, stories: Stories) -> None:
    await asyncio.gather(*stories.values())
    await bench.until_nothing_pends()
    events = [
        event.type
        for run in await bench.api.list_runs(is_final=True)
        for event in (await bench.api.list_events(run.id))[-1:]
    ]
    print(len(events), "runs are final")
    assert set(events) == {RunEventType.RUN_FINISHED}
