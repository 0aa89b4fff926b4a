"""The mapping of a worker's configuration to environment, mounts and container arguments."""

from __future__ import annotations

import json
from dataclasses import replace

from shared.contracts.queues.workers import WorkerContext
from worker_manager.container_config import WorkerContainerConfig

CONFIG = WorkerContainerConfig(worker_id="test-1", worker_type="developer", agent_type="claude", capabilities=["GIT"])


class TestWorkerContainerConfig:
    def test_to_env_vars_includes_required_fields(self) -> None:
        """Config should generate all required env vars."""
        config = WorkerContainerConfig(
            worker_id="test-1",
            worker_type="developer",
            agent_type="claude",
            capabilities=["GIT"],
        )
        env = config.to_env_vars(redis_url="redis://r", api_url="http://api")
        assert env["WORKER_ID"] == "test-1"
        assert env["REDIS_URL"] == "redis://r"
        assert env["AGENT_TYPE"] == "claude"

    def test_host_session_mode_adds_volume_mount(self) -> None:
        """Host session auth mode should configure volume mount."""
        config = replace(CONFIG, auth_mode="host_session", host_claude_dir="/home/user/.claude")
        volumes = config.to_volume_mounts()
        assert "/home/user/.claude" in volumes
        assert volumes["/home/user/.claude"]["bind"] == "/home/worker/.claude"

    def test_api_key_mode_adds_env_var(self) -> None:
        """API key auth mode should add ANTHROPIC_API_KEY."""
        config = replace(CONFIG, auth_mode="api_key", api_key="sk-ant-test")
        env = config.to_env_vars(redis_url="redis://r", api_url="http://api")
        assert env["ANTHROPIC_API_KEY"] == "sk-ant-test"

    def test_docker_capability_adds_socket_mount(self) -> None:
        """DOCKER capability should mount docker.sock."""
        config = replace(CONFIG, capabilities=["DOCKER"])
        volumes = config.to_volume_mounts()
        assert "/var/run/docker.sock" in volumes


def test_the_key_goes_to_the_variable_of_the_agent() -> None:
    config = replace(CONFIG, agent_type="factory", auth_mode="api_key", api_key="fk-test")
    env = config.to_env_vars("redis://r", "http://api")
    assert env["FACTORY_API_KEY"] == "fk-test"
    assert "ANTHROPIC_API_KEY" not in env


def test_without_api_key_mode_a_key_stays_out() -> None:
    env = replace(CONFIG, auth_mode="none", api_key="sk-ant-test").to_env_vars("redis://r", "http://api")
    assert "sk-ant-test" not in env.values()


def test_the_environment_tells_who_asked_and_what_is_allowed() -> None:
    config = replace(
        CONFIG, allowed_commands=["project.*"], pooled=False, context=WorkerContext(user_id="u1", run_id="r1")
    )
    env = config.to_env_vars("redis://r", "http://api", "token-1")
    assert json.loads(env["ALLOWED_COMMANDS"]) == ["project.*"]
    assert json.loads(env["CAPABILITIES"]) == ["git"]
    assert (env["USER_ID"], env["RUN_ID"], env["API_TOKEN"], env["WORKER_POOLED"]) == ("u1", "r1", "token-1", "0")
    assert "TASK_ID" not in env


def test_given_variables_never_win_over_the_platforms() -> None:
    config = replace(CONFIG, env_vars={"REDIS_URL": "redis://elsewhere", "FEATURE": "on"})
    env = config.to_env_vars("redis://r", "http://api")
    assert env["REDIS_URL"] == "redis://r"
    assert env["FEATURE"] == "on"


def test_a_container_is_hardened_by_default() -> None:
    kwargs = CONFIG.to_docker_run_kwargs("image:1", {"A": "b"}, {"codegen.worker.id": "test-1"})
    assert kwargs["name"] == "worker-test-1"
    assert kwargs["user"] == "worker"
    assert kwargs["cap_drop"] == ["ALL"]
    assert kwargs["security_opt"] == ["no-new-privileges"]
    assert (kwargs["mem_limit"], kwargs["nano_cpus"], kwargs["pids_limit"]) == ("512m", 500_000_000, 256)
    assert kwargs["read_only"] is True
    assert isinstance(kwargs["tmpfs"], dict)
    assert all("exec" in options.split(",") for options in kwargs["tmpfs"].values())
    assert "network" not in kwargs


def test_secrets_do_not_show_in_a_configurations_text() -> None:
    assert "sk-ant-test" not in repr(replace(CONFIG, api_key="sk-ant-test", env_vars={"K": "sk-ant-test"}))
