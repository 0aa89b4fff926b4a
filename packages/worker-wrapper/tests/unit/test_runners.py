"""The command lines of the agents."""

from __future__ import annotations

import pytest

from worker_wrapper.runners import ClaudeRunner, FactoryRunner, MockRunner
from worker_wrapper.runners.base import LONGEST_ARGUMENT_BYTES


class TestClaudeRunner:
    def test_build_command_includes_headless_flags(self) -> None:
        """Command should include required Claude headless flags."""
        runner = ClaudeRunner(session_id="sess-123")
        cmd = runner.build_command(prompt="Create hello.py")

        assert "claude" in cmd
        assert "-p" in cmd
        assert "--output-format" in cmd
        assert "json" in cmd
        assert "--resume" in cmd
        assert "sess-123" in cmd

    def test_build_command_without_session_omits_resume(self) -> None:
        """Without session_id, should not include --resume."""
        runner = ClaudeRunner(session_id=None)
        cmd = runner.build_command(prompt="Hello")
        assert "--resume" not in cmd

    def test_a_new_session_is_named_and_not_resumed(self) -> None:
        cmd = ClaudeRunner("sess-1", "stream-json", is_new_session=True, model="m").build_command("Hello")
        assert "--resume" not in cmd
        assert cmd[cmd.index("--session-id") + 1] == "sess-1"
        assert cmd[cmd.index("--model") + 1] == "m"
        assert "--verbose" in cmd


class TestFactoryRunner:
    def test_build_command_uses_droid_exec(self) -> None:
        """Factory should use droid exec command."""
        runner = FactoryRunner()
        cmd = runner.build_command(prompt="Fix bug")

        assert "droid" in " ".join(cmd)
        assert "exec" in cmd
        assert "-o" in cmd
        assert "json" in cmd

    def test_a_conversation_goes_on_as_a_fork(self) -> None:
        cmd = FactoryRunner(session_id="old").build_command("Go on")
        assert cmd[cmd.index("--fork") + 1] == "old"
        assert "-s" not in cmd


@pytest.mark.parametrize("runner", [ClaudeRunner(), FactoryRunner()])
@pytest.mark.parametrize("prompt", ["-p is an option", "x" * (LONGEST_ARGUMENT_BYTES + 1), "a\0b"])
def test_prompts_that_do_not_fit_an_argument_travel_by_stdin(runner: ClaudeRunner | FactoryRunner, prompt: str) -> None:
    assert prompt not in runner.build_command(prompt)
    assert runner.build_stdin(prompt) == prompt


@pytest.mark.parametrize("runner", [ClaudeRunner(), FactoryRunner()])
def test_short_prompts_travel_in_the_command(runner: ClaudeRunner | FactoryRunner) -> None:
    assert "Fix it" in runner.build_command("Fix it")
    assert runner.build_stdin("Fix it") is None


def test_the_mock_agent_reads_its_prompt_from_stdin() -> None:
    runner = MockRunner(session_id="s-1", script="/rules.json")
    assert runner.build_stdin("Hello") == "Hello"
    assert runner.build_command("Hello")[-2:] == ["s-1", "/rules.json"]
