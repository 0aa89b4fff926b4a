"""Plays a scenario in the chat of a running stack and proves what came of it."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import httpx

from local_stack.demo.facts import PATH_STREAMS_UNUSED, Facts
from local_stack.demo.report import Report
from local_stack.demo.scenario import Message, Scenario
from local_stack.errors import DemoFailed
from local_stack.plan import DEMO_USER_ID
from local_stack.stack import Stack
from local_stack.user_chat import ChatEvent, UserChat
from local_stack.view import View
from shared.contracts.dto.accounts import UserUpsert
from shared.contracts.run_machine import RunState
from shared.contracts.vocabulary import TaskType
from shared.redis.bus import Bus

ANSWER_DEADLINE_SECONDS = 900.0
URL = re.compile(r"https?://[^\s<>()]+")


class Play:
    """One conversation: messages in, URL out, checks in between."""

    def __init__(self, stack: Stack, bus: Bus, view: View, scenario: Scenario) -> None:
        self._stack = stack
        self._bus = bus
        self._view = view
        self._scenario = scenario
        self._shown: dict[int, str] = {}
        self.report = Report(real=stack.real_parts(), emulated=stack.emulated_parts())

    async def run(self) -> Report:
        """Play every message; the report says what held."""
        started = time.monotonic()
        since = datetime.now(UTC)
        user = await self._stack.api.upsert_user(UserUpsert(telegram_id=DEMO_USER_ID, name="Ada", is_admin=True))
        facts = Facts(self._stack, self._bus, user.id)
        async with UserChat(self._stack.plan.telegram_url, DEMO_USER_ID) as chat:
            for number, message in enumerate(self._scenario.messages, 1):
                begun = time.monotonic()
                url = await self._converse(chat, facts, message)
                await self._check_message(facts, message, url, number)
                self.report.seconds[f"message {number}"] = round(time.monotonic() - begun, 2)
        await self._conclude(facts, since)
        self.report.seconds["conversation"] = round(time.monotonic() - started, 2)
        return self.report

    def _hear(self, event: ChatEvent) -> None:
        text = event.text or ""
        if not event.is_from_bot or self._shown.get(event.message_id) == text:
            return
        self._shown[event.message_id] = text
        self._view.chat("bot", text, is_edit=event.kind == "edited")
        self.report.conversation.append({"who": "bot", "kind": event.kind, "text": text})

    async def _converse(self, chat: UserChat, facts: Facts, message: Message) -> str:
        """Send a message and return the URL the chat answers with."""
        self._view.chat("you", message.text)
        self.report.conversation.append({"who": "you", "kind": "sent", "text": message.text})
        await chat.send(message.text)
        end = time.monotonic() + ANSWER_DEADLINE_SECONDS
        while True:
            left = end - time.monotonic()
            try:
                event = await chat.wait_for(_is_answer, min(left, 10.0), self._hear)
                return _first_url(event.text or "")
            except DemoFailed:
                failed = await facts.failed_run()
                if failed is not None:
                    raise DemoFailed(
                        f"the {failed.kind} run {failed.id} ended {failed.state}: {failed.reason}"
                    ) from None
                if left <= 10.0:
                    raise

    async def _check_message(self, facts: Facts, message: Message, url: str, number: int) -> None:
        report = self.report
        if report.url:
            report.check("the second message keeps the URL", url == report.url, url)
        report.url = url
        engineering = [run for run in await facts.runs(TaskType.ENGINEERING) if run.state is RunState.COMPLETED]
        report.check(
            f"{number} pull request(s) merged", len(engineering) == number, _list(r.facts.pr_url for r in engineering)
        )
        report.check("there is one project", len(await facts.projects()) == 1)
        async with httpx.AsyncClient(base_url=url, timeout=10.0) as client:
            merge_sha = engineering[-1].facts.merge_sha if engineering else None
            version = await _json(client, "/version")
            report.check("the running version is the merged commit", version.get("sha") == merge_sha, str(merge_sha))
            for check in message.checks:
                await check.run(client, report)

    async def _conclude(self, facts: Facts, since: datetime) -> None:
        report = self.report
        report.run_ids = [run.id for run in await facts.runs()]
        report.timeline = await facts.timeline(since)
        usage = await facts.usage()
        report.tokens = {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "cache_read": usage.cache_read_tokens,
            "cache_write": usage.cache_write_tokens,
        }
        report.cost_usd = round(usage.cost_usd, 6)
        if not self._stack.settings.is_llm_real:
            counted = await facts.emulator_usage()
            same = (counted["input_tokens"], counted["output_tokens"]) == (usage.input_tokens, usage.output_tokens)
            report.check(
                "tokens equal what the model provider counted",
                same,
                f"{usage.input_tokens} in, {usage.output_tokens} out",
            )
        lengths = await facts.stream_lengths()
        unused = [name for name, length in lengths.items() if length == 0 and name not in PATH_STREAMS_UNUSED]
        report.check(
            "every stream of the path carried an entry", not unused, _list(unused) or f"{len(lengths)} streams"
        )
        use = await facts.stream_use()
        for name, child in self._stack.supervisor.children.items():
            if child.spec.is_service:
                counted_use = use.get(name)
                report.services[name] = {
                    "pid": child.pid,
                    "entries_written": counted_use.entries_written if counted_use else 0,
                    "entries_read": counted_use.entries_read if counted_use else 0,
                }
        for name in ("scheduler", "infra-service"):
            report.check(f"{name} handled a message", use[name].entries_read >= 1)


def _first_url(text: str) -> str:
    found = URL.search(text)
    assert found is not None
    return found.group().rstrip(".,")


def _is_answer(event: ChatEvent) -> bool:
    return event.from_bot and event.kind == "sent" and bool(URL.search(event.text or ""))


def _list(values: object) -> str:
    return ", ".join(str(value) for value in values) if hasattr(values, "__iter__") else str(values)


async def _json(client: httpx.AsyncClient, path: str) -> dict[str, object]:
    try:
        answer = await client.get(path)
        body = answer.json()
    except (httpx.HTTPError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}
