"""The launcher starts services and plays no part of theirs: without one of them its work stays undone."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from local_stack.testing import Bench, Conversation, eventually, say
from local_stack.testing.answers import script

pytestmark = pytest.mark.timeout(180)
SERVICES = (
    *("orchestrator_api", "worker_manager", "infra_service", "orchestrator_scheduler", "scaffolder"),
    *("agent_graphs", "telegram_bot", "orchestrator_cli", "worker_wrapper", "emulators"),
)
IMPORTS = """
import pkgutil, sys
import local_stack
for module in pkgutil.walk_packages(local_stack.__path__, "local_stack."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
print(sorted({name.partition(".")[0] for name in sys.modules}))
"""
OWNER = say("Hello! What may I build for you?").rule("hello", {"stage": "po", "last_user_contains": "good morning"})


def test_the_launcher_imports_no_service() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True, timeout=60)
    assert "'local_stack'" in done.stdout
    assert [name for name in SERVICES if f"'{name}'" in done.stdout] == []


async def _answers_while(bench: Bench, service: str, chat: Conversation) -> list[str]:
    """Write with a service stopped, wait until the user's side is quiet, and return what was answered."""
    bench.signal(service, signal.SIGSTOP)
    try:
        await chat.say("good morning")
        await chat.silence(6)
        return chat.sent_by_bot()
    finally:
        bench.signal(service, signal.SIGCONT)


@pytest.mark.parametrize("service", ["telegram-bot", "api", "worker-manager"])
async def test_without_a_service_nobody_answers_and_with_it_the_answer_comes(bench: Bench, service: str) -> None:
    await bench.put_script(script([], extra=[OWNER]))
    chat = await bench.conversation()
    assert await _answers_while(bench, service, chat) == []
    event = await chat.until_text("What may I build for you?", 60)
    print(f"with {service} back:", event.text)
    await bench.until_nothing_pends()
    answers = await chat.all_heard()
    assert [entry.text for entry in answers if entry.from_bot] == [event.text]


async def test_every_service_is_a_process_of_its_own_and_the_launcher_holds_no_service(bench: Bench) -> None:
    async def asked() -> dict[str, int] | None:
        return {name: child.pid for name, child in bench.stack.supervisor.children.items() if child.pid is not None}

    pids = await eventually(asked, 5, "the processes")
    print(pids)
    assert len(set(pids.values())) == len(bench.stack.supervisor.children)
