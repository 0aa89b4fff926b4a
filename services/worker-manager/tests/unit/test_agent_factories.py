"""Agents: how each is installed, instructed and started."""

from __future__ import annotations

import pytest

from shared.contracts.vocabulary import AgentType
from worker_manager.agents import AGENTS, AgentConfig, ClaudeCodeAgent, FactoryDroidAgent


class TestClaudeCodeAgent:
    def test_get_install_commands_includes_npm_install(self) -> None:
        """Install commands should include Claude Code npm install."""
        agent = ClaudeCodeAgent()
        commands = agent.get_install_commands()
        assert any("npm install" in cmd and "claude-code" in cmd for cmd in commands)

    def test_get_instruction_path_returns_claude_md(self) -> None:
        """Claude uses CLAUDE.md for instructions."""
        assert ClaudeCodeAgent().get_instruction_path() == "/workspace/CLAUDE.md"

    def test_get_agent_command_includes_dangerously_skip(self) -> None:
        """Agent command should skip permission prompts."""
        cmd = ClaudeCodeAgent().get_agent_command()
        assert "--dangerously-skip-permissions" in cmd


class TestFactoryDroidAgent:
    def test_get_install_commands_includes_curl_install(self) -> None:
        """Install commands should include Factory CLI install."""
        commands = FactoryDroidAgent().get_install_commands()
        assert any("factory.ai" in cmd for cmd in commands)

    def test_get_instruction_path_returns_agents_md(self) -> None:
        """Factory uses AGENTS.md for instructions."""
        assert FactoryDroidAgent().get_instruction_path() == "/workspace/AGENTS.md"


@pytest.mark.parametrize("agent_type", list(AgentType))
def test_every_agent_type_has_its_agent(agent_type: AgentType) -> None:
    agent: AgentConfig = AGENTS[agent_type]
    assert agent.agent_type is agent_type


@pytest.mark.parametrize("agent", [ClaudeCodeAgent(), FactoryDroidAgent()])
def test_an_agent_with_a_binary_installs_a_pinned_version_into_the_folder_that_is_copied_on(agent: AgentConfig) -> None:
    commands = agent.get_install_commands()
    assert agent.binary is not None
    assert f"@{agent.version}" in commands[0]
    assert commands[-1].endswith(f"/agent/bin/{agent.binary}")
