"""The launcher starts services and plays no part of theirs: without one of them its work stays undone.

GitHub refusing the platform's key ends a run, and the next wish goes on where that began. While a worker works nobody
waits: langgraph can be gone from the question to long after the answer.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local_stack.testing import Bench, Conversation, Work, eventually, result, say, script, write
from local_stack.testing.answers import coded
from local_stack.testing.applications import answering
from shared.contracts.queues.workers import DeveloperWorkerOutput
from shared.contracts.run_machine import RunState
from shared.contracts.topology import DEVELOPER_OUTPUT
from shared.contracts.vocabulary import Stage, TaskType, WaitKind
from shared.testing.waits import wait_for_run_completion

pytestmark = pytest.mark.timeout(240)
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
DELAY = 4.0
REFUSED = Work(mark="too early", project="patient-app", code=[coded(answering("never"))])
WORK = Work(
    mark="patience is a virtue",
    project="patient-app",
    extends=True,
    code=[
        (
            write(answering("patience")),
            result(summary="It answers", commit_message="Answer").after(DELAY),
        )
    ],
)


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


@asynccontextmanager
async def _wrong_github_key(bench: Bench, folder: Path) -> AsyncIterator[None]:
    """Let the services that use GitHub do so with a key GitHub does not know, while the block runs."""
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = folder / "other.pem"
    key.write_bytes(
        other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    specs = [await bench.remove(name) for name in ("scaffolder", "langgraph")]
    for spec in specs:
        await bench.add(replace(spec, env={**spec.env, "GITHUB_APP_PRIVATE_KEY_FILE": str(key)}))
    try:
        yield
    finally:
        for spec in specs:
            await bench.remove(spec.name)
            await bench.add(spec)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def refused(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Conversation:
    """A chat whose first wish was met by GitHub's refusal; by now the key is right."""
    await bench.put_script(script([REFUSED, WORK]))
    chat = await bench.conversation()
    async with _wrong_github_key(bench, tmp_path_factory.mktemp("key")):
        await chat.say(REFUSED.wish)
        await chat.until_text("Sorry, building patient-app failed", 120)
    return chat


async def test_a_wrong_github_key_is_told_to_administrators_and_ends_the_run(
    bench: Bench, refused: Conversation
) -> None:
    await refused.until_text("GitHub refuses the App", 30)  # alarms take their own way, and may come later
    print(refused.told())
    run = await bench.run_of(refused, TaskType.ENGINEERING)
    assert (run.state, run.code_attempts) == (RunState.FAILED, 0)


async def test_the_next_wish_is_fulfilled_although_langgraph_was_away_when_the_worker_finished(
    bench: Bench, refused: Conversation
) -> None:
    chat = refused
    await chat.say(WORK.wish)
    run = await bench.run_of(chat, TaskType.ENGINEERING, number=2)
    await bench.until_node(run.id, "await_code")

    async def released() -> bool | None:
        return True if (await bench.api.get_run(run.id)).wait_kind is WaitKind.WORKER_OUTPUT else None

    await eventually(released, 10, "a run that only waits")
    waiting = await bench.api.get_run(run.id)
    print("waits for", waiting.wait_kind, waiting.wait_key, "lease:", waiting.lease_owner, "wakes at", waiting.wake_at)
    assert waiting.lease_owner is None
    assert waiting.wake_at is not None

    spec = await bench.remove("langgraph")

    async def answered() -> DeveloperWorkerOutput | None:
        entries = await bench.bus.read(DEVELOPER_OUTPUT)
        found = [output for _, output in entries if output.run_id == run.id and output.stage is Stage.CODE]
        return found[0] if found else None

    output = await eventually(answered, 60, "the worker's answer while langgraph is away")
    print("the worker answered", output.status, output.commit_sha)
    assert (await bench.api.get_run(run.id)).state is RunState.CODING
    events_before = len(await bench.api.list_events(run.id))

    await bench.add(spec)
    done = await wait_for_run_completion(bench.api, run.id, 90)
    assert done.state is RunState.COMPLETED
    assert done.code_attempts == 1
    assert len(await bench.api.list_events(run.id)) > events_before
    url = await chat.link(90)
    answer = (await bench.http.get(f"{url}answer")).json()
    print(url, answer)
    assert answer == {"answer": "patience"}
    await bench.until_nothing_pends()
