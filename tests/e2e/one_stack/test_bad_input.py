"""What people and operators get wrong is named, loses nothing and stops nobody else."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from dataclasses import replace

import pytest

from local_stack.children import ChildSpec
from local_stack.testing import Bench, Work, eventually, run, say, script
from local_stack.testing.answers import coded
from local_stack.testing.applications import answering
from shared.contracts.vocabulary import WorkerType

pytestmark = pytest.mark.timeout(180)
STRANGER = 9_999_999
GREETING = say("Hello! What may I build?").rule("greeting", {"stage": "po", "last_user_contains": "good day"})
BAD_NAME = Work(
    mark="name it badly",
    project="Not A Name!",
    code=[coded(answering("never"))],
    owner=(
        run("orchestrator project create --name 'Not A Name!' --task 'Do it'; echo exit code $?"),
        say("I could not create it: a name has only small letters, digits and hyphens."),
    ),
)


async def test_an_empty_message_is_answered_with_what_to_write(bench: Bench) -> None:
    chat = await bench.conversation()
    await chat.say("   ")
    event = await chat.until_text("I can only read text", 20)
    print(event.text)


async def test_a_command_nobody_knows_is_named_and_leads_to_the_help(bench: Bench) -> None:
    chat = await bench.conversation()
    await chat.say("/fly me to the moon")
    event = await chat.until_text("/fly", 20)
    print(event.text)
    assert "/help" in (event.text or "")
    await chat.say("/help")
    assert "/projects" in ((await chat.until_text("/cancel", 20)).text or "")


async def test_a_stranger_is_refused_once_and_gets_no_worker(bench: Bench) -> None:
    chat = await bench.conversation_as(STRANGER)
    await chat.say("build me something")
    event = await chat.until_text("This bot is private", 20)
    print(event.text)
    assert str(STRANGER) in (event.text or "")
    await chat.say("please")
    await bench.until_nothing_pends()
    assert await bench.api.list_users(telegram_id=STRANGER) == []
    assert len([entry for entry in await chat.all_heard() if entry.from_bot]) == 1


async def test_the_longest_message_is_answered_and_a_longer_one_never_leaves_the_client(bench: Bench) -> None:
    await bench.put_script(script([], extra=[GREETING]))
    chat = await bench.conversation()
    longest = ("good day " * 500)[:4096]
    await chat.say(longest)
    await chat.until_text("What may I build?", 60)
    body = {"user_id": chat.telegram_id, "text": "x" * 10_000}
    refused = await bench.http.post(f"{bench.stack.plan.telegram_url}/_emulator/messages", json=body)
    print(refused.status_code, refused.text)
    assert refused.is_client_error
    assert "4096" in refused.text


async def test_an_invalid_project_name_reaches_the_product_owner_as_a_usage_error(bench: Bench) -> None:
    await bench.put_script(script([BAD_NAME]))
    chat = await bench.conversation()
    await chat.say(BAD_NAME.wish)
    await chat.until_text("I could not create it", 60)
    last = (await bench.recordings())[-1]
    told = json.dumps(last["request"]["messages"][-1])
    print(told[:600])
    assert "exit code 2" in told
    assert "lower-case letters" in told
    assert "name" in told
    facts = await chat.facts()
    assert await facts.projects() == []
    assert await facts.runs() == []


async def _ends(spec: ChildSpec, **wrong: str) -> tuple[int, str]:
    """Start a service with something wrong in its environment and return its exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *spec.command,
        env={**spec.env, "HTTP_PORT": "0", **wrong},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(45):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        output, _ = await process.communicate()
        raise AssertionError(f"{spec.name} went on with {list(wrong)}: {output.decode()[-2000:]}") from None
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_a_bot_with_a_wrong_token_ends_and_says_so_without_showing_it(bench: Bench) -> None:
    spec = await bench.remove("telegram-bot")
    try:
        code, output = await _ends(spec, TELEGRAM_BOT_TOKEN="123456:not-the-token-of-anybody")
    finally:
        await bench.add(spec)
    print(code, output[-800:])
    assert code == 1
    assert "refused the bot's token" in output
    assert "not-the-token-of-anybody" not in output


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("telegram-bot", "TELEGRAM_BOT_TOKEN"),
        ("api", "API_JWT_SECRET"),
        ("langgraph", "ATTEMPT_SECRET"),
        ("scaffolder", "GITHUB_APP_ID"),
        ("infra-service", "DEPLOY_TOKEN"),
    ],
)
async def test_a_service_without_a_setting_ends_and_names_it(bench: Bench, service: str, name: str) -> None:
    spec = bench.child(service).spec
    environment = {key: value for key, value in spec.env.items() if key != name}
    code, output = await _ends(replace(spec, env=environment))
    print(code, output[-600:])
    assert code != 0
    assert name.lower() in output.lower()
    secrets = dataclasses.asdict(bench.stack.plan.credentials)
    assert [field for field, value in secrets.items() if field != "github_app_id" and value in output] == []


async def test_after_all_that_the_bot_still_answers(bench: Bench) -> None:
    await bench.put_script(script([], extra=[GREETING]))
    chat = await bench.conversation()
    await chat.say("good day")
    await chat.until_text("What may I build?", 60)
    await bench.until_nothing_pends()

    async def idle() -> bool | None:
        developers = [w for w in await bench.api.list_workers() if w.worker_type is WorkerType.DEVELOPER]
        return None if any(w.status == "RUNNING" for w in developers) else True

    await eventually(idle, 30, "no developer at work")
