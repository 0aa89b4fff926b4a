"""What may be created, and with which credential."""

from __future__ import annotations

from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from shared.contracts.queues.workers import RefusalCode
from shared.contracts.vocabulary import AgentType, AuthMode, WorkerCapability
from worker_manager.errors import RuntimeUnavailable
from worker_manager.records import derive_worker_id
from worker_manager.runtime.choice import build_runtime
from worker_manager.settings import Settings, passed_environment
from worker_manager.testing import InMemoryManager, create_command


@pytest.fixture
def redis() -> FakeAsyncRedis:
    return FakeAsyncRedis(server=FakeServer(), protocol=2)


KEY: dict[str, Any] = {"anthropic_api_key": "sk-ant-real", "default_auth_mode": "api_key"}
LOOPBACK = {"anthropic_base_url": "http://127.0.0.1:9001"}


async def refusal(redis: FakeAsyncRedis, settings: dict[str, Any], **config: Any) -> RefusalCode | None:
    world = InMemoryManager(redis, is_sandboxed=False, **settings)
    (response,) = await world.send(create_command("r", **{"agent_type": AgentType.CLAUDE} | config))
    if not response.success:
        assert world.runtime.instances == {}
        assert response.error
    return response.code


async def test_a_real_model_without_a_sandbox_is_refused(redis: FakeAsyncRedis) -> None:
    assert await refusal(redis, KEY) is RefusalCode.UNSANDBOXED_REFUSED


@pytest.mark.parametrize(
    "settings",
    [{**KEY, "unsandboxed": True}, {**KEY, **LOOPBACK}, {**KEY, "anthropic_base_url": "http://localhost:9001"}],
)
async def test_it_is_allowed_when_asked_for_or_when_the_model_is_an_emulator(
    redis: FakeAsyncRedis, settings: dict[str, Any]
) -> None:
    assert await refusal(redis, settings) is None


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"])
async def test_a_key_in_the_commands_variables_counts_as_one(redis: FakeAsyncRedis, name: str) -> None:
    settings = {"default_auth_mode": "none"}
    assert await refusal(redis, settings, env_vars={name: "x"}) is RefusalCode.UNSANDBOXED_REFUSED


async def test_a_subscription_login_counts_as_a_real_model(redis: FakeAsyncRedis) -> None:
    config = {"auth_mode": AuthMode.HOST_SESSION, "host_claude_dir": "/somewhere"}
    assert await refusal(redis, LOOPBACK, **config) is RefusalCode.UNSANDBOXED_REFUSED


async def test_a_base_url_of_the_command_decides_over_the_configured_one(redis: FakeAsyncRedis) -> None:
    env_vars = {"ANTHROPIC_BASE_URL": "https://elsewhere.example"}
    assert await refusal(redis, KEY | LOOPBACK, env_vars=env_vars) is RefusalCode.UNSANDBOXED_REFUSED


@pytest.mark.parametrize(
    ("settings", "config"),
    [
        ({}, {}),
        ({"default_auth_mode": "api_key"}, {}),
        ({}, {"auth_mode": AuthMode.HOST_SESSION}),
    ],
)
async def test_missing_credentials_are_named(
    redis: FakeAsyncRedis, settings: dict[str, Any], config: dict[str, Any]
) -> None:
    assert await refusal(redis, settings, **config) is RefusalCode.AUTH_MISSING


async def test_a_mock_worker_needs_no_credential(redis: FakeAsyncRedis) -> None:
    assert await refusal(redis, {}, agent_type=AgentType.MOCK) is None


async def test_the_docker_socket_is_given_only_when_allowed(redis: FakeAsyncRedis) -> None:
    config = {"agent_type": AgentType.MOCK, "capabilities": [WorkerCapability.DOCKER]}
    assert await refusal(redis, {}, **config) is RefusalCode.DOCKER_SOCKET_REFUSED
    assert await refusal(redis, {"allow_docker_socket": True}, **config) is None


@pytest.mark.parametrize("name", ["PATH", "REDIS_URL", "LD_PRELOAD", "PYTHONPATH", "a b", ""])
async def test_variables_that_would_change_the_platforms_ground_are_refused(redis: FakeAsyncRedis, name: str) -> None:
    assert await refusal(redis, {}, agent_type=AgentType.MOCK, env_vars={name: "x"}) is RefusalCode.INVALID_CONFIG


async def test_the_configured_key_reaches_the_worker(redis: FakeAsyncRedis) -> None:
    world = InMemoryManager(redis, **KEY)
    await world.send(create_command("r", agent_type=AgentType.CLAUDE))
    assert world.runtime.specs[derive_worker_id("r")].environment["ANTHROPIC_API_KEY"] == "sk-ant-real"


def test_workers_inherit_certificates_and_package_settings_and_no_secret() -> None:
    environ = {
        "SSL_CERT_FILE": "/ca.crt",
        "PIP_INDEX_URL": "u",
        "UV_INDEX_URL": "u",
        "https_proxy": "p",
        "UV_PUBLISH_TOKEN": "secret",
        "UV_CACHE_DIR": "/shared",
        "API_TOKEN": "secret",
        "REDIS_URL": "secret",
        "HOME": "/root",
    }
    assert set(passed_environment(environ)) == {"SSL_CERT_FILE", "PIP_INDEX_URL", "UV_INDEX_URL", "https_proxy"}


def test_containers_without_a_network_for_them_are_refused() -> None:
    with pytest.raises(RuntimeUnavailable, match="needs WORKER_NETWORK"):
        build_runtime(Settings(worker_runtime="docker"))
