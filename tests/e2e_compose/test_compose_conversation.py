"""The demo conversation against the containers: a message becomes a running application, a second one extends it."""

from __future__ import annotations

import re

import httpx
import pytest

from local_stack.demo.report import Report
from local_stack.demo.scenario import Message, bundled_scenario, load_scenario
from local_stack.testing.deployment import Deployment
from local_stack.user_chat import ChatEvent, UserChat

URL = re.compile(r"https?://[^\s<>()]+")
FIRST_USER, USERS = 1_000_001, 50
ANSWER_SECONDS = 420


def _is_link(event: ChatEvent) -> bool:
    return event.from_bot and event.kind == "sent" and bool(URL.search(event.text or ""))


async def _unused_chat(url: str) -> UserChat:
    """Return the chat of an allowed user nobody has played yet: a conversation is not played twice."""
    for user in range(FIRST_USER, FIRST_USER + USERS):
        async with UserChat(url, user) as chat:
            if not await chat.events(0):
                return UserChat(url, user)
    raise AssertionError("every allowed user has chatted already: `make down WIPE=yes` starts afresh")


async def _tell(chat: UserChat, message: Message) -> str:
    """Send a message and return the address the bot answers with."""
    heard: list[str] = []
    await chat.send(message.text)
    link = await chat.wait_for(_is_link, ANSWER_SECONDS, lambda event: heard.append(event.text or ""))
    found = URL.search(link.text or "")
    assert found, heard
    return found.group().rstrip(".,")


async def _checked(url: str, message: Message) -> str:
    """Check what must be true of the application now; return the commit it says it is."""
    report = Report()
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        for check in message.checks:
            await check.run(client, report)
        sha: str = (await client.get("/version")).json()["sha"]
    assert report.is_good, [check for check in report.checks if not check.ok]
    return sha


@pytest.mark.timeout(2 * ANSWER_SECONDS + 60)
async def test_two_messages_make_and_extend_an_application(deployment: Deployment) -> None:
    first, second = load_scenario(bundled_scenario())[0].messages
    async with await _unused_chat(deployment.telegram_url) as chat:
        url = await _tell(chat, first)
        first_sha = await _checked(url, first)
        assert await _tell(chat, second) == url
        assert await _checked(url, second) != first_sha
