"""One correlation id from the chat to the worker and back; both formats tell it, and neither tells a secret."""

from __future__ import annotations

import asyncio
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from shared.contracts.base import correlation, current_correlation_id
from shared.contracts.queues.work import EngineeringMessage
from shared.contracts.queues.workers import DeveloperWorkerInput, DeveloperWorkerOutput, POWorkerInput, POWorkerOutput
from shared.contracts.topology import DEVELOPER_INPUT_POOL, DEVELOPER_OUTPUT, ENGINEERING_QUEUE, PO_INPUT, PO_OUTPUT
from shared.contracts.vocabulary import ResultStatus
from shared.logging import get_logger, setup_logging
from shared.logging.redaction import MASK
from shared.logging.setup import LogFormat
from shared.redis.subscription import Delivery, StreamSub
from shared.testing import FakeBus
from shared.testing.factories import engineering_message
from shared.testing.waiting import consuming, eventually

SECRET = "sk-ant-api03-AbCdEf_123-456"
CHATS = [f"chat-{number}" for number in range(8)]
log = get_logger("parts")


@contextmanager
def logging_as(format: LogFormat) -> Iterator[None]:
    """Set logging up while the block runs."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    logging.captureWarnings(False)
    setup_logging("tester", format=format)
    try:
        yield
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(False)
        logging.basicConfig(handlers=handlers, level=level, force=True)


class Parts:
    """The parts between a chat and a worker; each answers the message it gets with the next one."""

    def __init__(self) -> None:
        self.bus = FakeBus()
        self.answered: dict[str, str | None] = {}

    async def product_owner(self, message: POWorkerInput, _: Delivery) -> None:
        await self._said("product owner", message.user_id)
        await self.bus.publish(ENGINEERING_QUEUE, engineering_message(message.user_id, user_id=message.user_id))

    async def graph(self, message: EngineeringMessage, _: Delivery) -> None:
        await self._said("graph", message.user_id)
        asked = DeveloperWorkerInput(task_id=message.task_id, project_id="p", prompt="do it")
        await self.bus.publish(DEVELOPER_INPUT_POOL, asked)

    async def developer(self, message: DeveloperWorkerInput, _: Delivery) -> None:
        await self._said("developer", message.task_id)
        done = DeveloperWorkerOutput(
            request_id=message.request_id, task_id=message.task_id, status=ResultStatus.SUCCESS
        )
        await self.bus.publish(DEVELOPER_OUTPUT, done)

    async def graph_again(self, message: DeveloperWorkerOutput, _: Delivery) -> None:
        await self._said("graph again", message.task_id)
        answer = POWorkerOutput(request_id=message.request_id, user_id=message.task_id, status=ResultStatus.SUCCESS)
        await self.bus.publish(PO_OUTPUT.at("po"), answer)

    async def chat(self, message: POWorkerOutput, _: Delivery) -> None:
        await self._said("chat", message.user_id)
        self.answered[message.user_id] = current_correlation_id()

    async def run(self) -> None:
        """Let every chat ask at once and wait for every answer."""
        async with (
            consuming(self.bus, StreamSub(PO_INPUT.at("po"), "g", "c", self.product_owner)),
            consuming(self.bus, StreamSub(ENGINEERING_QUEUE, "g", "c", self.graph)),
            consuming(self.bus, StreamSub(DEVELOPER_INPUT_POOL, "g", "c", self.developer)),
            consuming(self.bus, StreamSub(DEVELOPER_OUTPUT, "g", "c", self.graph_again)),
            consuming(self.bus, StreamSub(PO_OUTPUT.at("po"), "g", "c", self.chat)),
        ):
            for name in CHATS:
                with correlation(name):
                    await self.bus.publish(PO_INPUT.at("po"), POWorkerInput(user_id=name, prompt="a to-do list"))
            await eventually(lambda: len(self.answered) == len(CHATS))

    async def _said(self, part: str, chat: str) -> None:
        log.info("handling", part=part, chat=chat)
        await asyncio.sleep(0)
        logging.getLogger("library").warning("%s of %s", part, chat)


async def test_a_correlation_id_goes_from_the_chat_to_the_worker_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    parts = Parts()
    with logging_as("json"):
        await parts.run()
    assert parts.answered == {name: name for name in CHATS}
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    ours = [line for line in lines if line["event"] == "handling"]
    theirs = [line for line in lines if line["component"] == "library"]
    assert len(ours) == len(theirs) == 5 * len(CHATS)
    assert all(line["correlation_id"] == line["chat"] for line in ours)
    assert all(line["event"].endswith(line["correlation_id"]) for line in theirs)


def test_a_console_line_tells_the_same_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("console"), correlation("chat-1"):
        get_logger("here").info("hello", token=SECRET)
        logging.getLogger("somebody").warning("sent %s", SECRET)
    first, second = capsys.readouterr().err.splitlines()
    assert "hello" in first
    assert f"sent {MASK}" in second
    assert all("correlation_id=chat-1" in line and MASK in line and "AbCdEf" not in line for line in (first, second))


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_traceback_shows_no_variable_and_no_secret(format: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    held = {"a variable": " ".join([SECRET] * 20)}
    try:
        raise ValueError(f"{len(held)} refused {SECRET}")
    except ValueError:
        with logging_as(format):
            get_logger("here").exception("boom")
    text = capsys.readouterr().err
    assert f"ValueError: 1 refused {MASK}" in text
    assert "a variable" not in text
    assert "AbCdEf" not in text.replace("\\n", "").replace("\n", "")


def test_a_warning_of_a_library_is_a_line_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(), logging_as("json"):
        warnings.simplefilter("always")
        warnings.warn(f"of no use: {SECRET}", RuntimeWarning, stacklevel=1)
    [line] = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["component"], told["level"], told["service"]) == ("py.warnings", "warning", "tester")
    assert f"of no use: {MASK}" in told["event"]
