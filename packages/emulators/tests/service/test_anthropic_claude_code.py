"""The real Claude Code binary works against the scripted API, and both count the same tokens."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from emulators.anthropic.fixtures import RunningAnthropic, running_anthropic

REPOSITORY = Path(__file__).resolve().parents[4]
CANDIDATES = (os.environ.get("CLAUDE_BINARY", ""), str(REPOSITORY / ".codegen" / "agents" / "claude"))
BINARY = next((path for path in CANDIDATES if path and os.access(path, os.X_OK)), None)

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(BINARY is None, reason="no Claude Code: set CLAUDE_BINARY or put it at .codegen/agents/claude"),
]

SCRIPT = """
name: claude
model_usage: {input_tokens: 1200, output_tokens: 300}
rules:
  - name: write-and-run
    when: {last_user_contains: write it, stage: code}
    reply:
      - text: I write the file and run it.
      - tool: Write
        input: {file_path: app/main.py, content: "print('id=' + str(6 * 7))\\n"}
      - tool: Bash
        input: {command: python3 app/main.py, description: run it}
  - name: report
    when: {after_tool: Bash, tool_result_is_error: false}
    capture: {ident: 'id=(\\d+)'}
    usage: {cache_read_input_tokens: 1000}
    reply: [{text: 'the id is ${ident}'}]
  - name: remember
    when: {last_user_contains: which id}
    reply: [{text: 'it was ${ident}'}]
"""


async def claude(emulator: RunningAnthropic, folder: Path, prompt: str, *options: str) -> dict[str, Any]:
    """Run one turn and return the result event."""
    assert BINARY is not None
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder / "home"),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "IS_SANDBOX": "1",
        "ANTHROPIC_BASE_URL": emulator.base_url,
        "ANTHROPIC_API_KEY": "x",
    }
    (folder / "home").mkdir(exist_ok=True)
    (folder / "work").mkdir(exist_ok=True)
    arguments = ["-p", prompt, "--output-format", "stream-json", "--verbose", "--dangerously-skip-permissions"]
    process = await asyncio.create_subprocess_exec(
        BINARY,
        *arguments,
        *options,
        env=environment,
        cwd=folder / "work",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    lines = output.splitlines()
    assert lines, errors.decode()
    result: dict[str, Any] = json.loads(lines[-1])
    assert result["type"] == "result"
    return result


async def test_a_scripted_turn_writes_runs_and_counts_as_claude_does(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text(SCRIPT)
    async with running_anthropic(tmp_path / "state", [script]) as emulator:
        first = await claude(emulator, tmp_path, "[stage:code]\nplease write it")
        assert (first["is_error"], first["result"]) == (False, "the id is 42"), first
        assert (tmp_path / "work" / "app" / "main.py").exists()
        counted = list(first["modelUsage"].values())
        usage = await emulator.usage()
        assert usage.requests == 2
        assert sum(model["inputTokens"] for model in counted) == usage.input_tokens == 2400
        assert sum(model["outputTokens"] for model in counted) == usage.output_tokens == 600
        assert sum(model["cacheReadInputTokens"] for model in counted) == usage.cache_read_input_tokens == 1000

        again = await claude(emulator, tmp_path, "which id?", "--resume", first["session_id"])
        assert again["result"] == "it was 42"
        keys = {recording.conversation for recording in await emulator.recordings()}
        assert keys == {first["session_id"]}


async def test_an_unmatched_prompt_ends_the_turn_with_the_text(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text(SCRIPT)
    async with running_anthropic(tmp_path / "state", [script]) as emulator:
        result = await claude(emulator, tmp_path, "dance")
        assert (result["is_error"], result["api_error_status"]) == (True, 400)
        assert "last text (user): 'dance'" in result["result"]
