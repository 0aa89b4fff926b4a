"""What the wrapper reads from its environment, and what it lets agents see of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.contracts.base import correlation
from shared.contracts.vocabulary import AgentType, WorkerType
from worker_wrapper.environment import agent_environment, plain_environment
from worker_wrapper.errors import SettingsError
from worker_wrapper.settings import load_settings

BASE = {"WORKER_ID": "w-1", "HOME": "/home/worker", "PATH": "/bin"}


def test_plain_and_prefixed_names_mean_the_same_and_the_prefixed_one_wins() -> None:
    plain = load_settings({**BASE, "AGENT_TYPE": "mock", "POOLED": "0"})
    prefixed = load_settings({**BASE, "WORKER_AGENT_TYPE": "MOCK", "AGENT_TYPE": "claude", "WORKER_POOLED": "false"})
    assert plain.agent_type is prefixed.agent_type is AgentType.MOCK
    assert not plain.is_pooled
    assert not prefixed.is_pooled


def test_defaults_are_a_pooled_developer_with_claude() -> None:
    settings = load_settings(BASE)
    assert (settings.worker_type, settings.agent_type, settings.is_pooled) == (
        WorkerType.DEVELOPER,
        AgentType.CLAUDE,
        True,
    )
    assert settings.workspace == Path("/workspace")
    assert settings.consumer_name == "w-1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKER_ID", ""),
        ("WORKER_TYPE", "manager"),
        ("AGENT_TYPE", "gpt"),
        ("POOLED", "perhaps"),
        ("IDLE_DEADLINE_SECONDS", "-1"),
        ("SESSION_TTL", "soon"),
    ],
)
def test_a_value_without_a_meaning_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({**BASE, name: value})


def test_secrets_do_not_show_in_a_printed_settings_value() -> None:
    settings = load_settings({**BASE, "API_TOKEN": "token-12345678", "REDIS_URL": "redis://u:password1@h/0"})
    assert "token-12345678" not in repr(settings)
    assert "password1" not in repr(settings)
    assert "token-12345678" in settings.secrets


def test_agents_see_the_allow_list_and_the_identity_they_act_under() -> None:
    settings = load_settings(
        {
            **BASE,
            "API_URL": "http://api",
            "API_TOKEN": "t" * 10,
            "ALLOWED_COMMANDS": "[]",
            "ANTHROPIC_API_KEY": "key",
            "DATABASE_URL": "postgresql://x",
            "GITHUB_TOKEN": "ghs",
        }
    )
    with correlation("corr-1"):
        env = agent_environment(settings, "chat:7", "user-1")
    assert env["WORKER_REQUEST_ID"] == "chat:7"
    assert env["USER_ID"] == "user-1"
    assert env["CORRELATION_ID"] == "corr-1"
    assert env["ALLOWED_COMMANDS"] == "[]"
    assert env["ANTHROPIC_API_KEY"] == "key"
    assert "DATABASE_URL" not in env
    assert "GITHUB_TOKEN" not in env
    assert ("IS_SANDBOX" in env) == (os.getuid() == 0)


def test_a_projects_own_tests_see_no_credential() -> None:
    environ = {**BASE, "ANTHROPIC_API_KEY": "key", "API_TOKEN": "t", "REDIS_URL": "r", "UV_CACHE_DIR": "/c"}
    assert plain_environment(environ) == {"HOME": "/home/worker", "PATH": "/bin", "UV_CACHE_DIR": "/c"}
