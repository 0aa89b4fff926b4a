"""The worker plane as a whole: a command becomes a container, a message becomes work, an end becomes one answer."""

from __future__ import annotations

import pytest

from shared.contracts.queues.workers import FailureCause
from shared.contracts.vocabulary import ResultStatus, WorkerCapability, WorkerStatus
from tests.integration.backend.bench import until
from tests.integration.backend.stack import Stack

# One group: a test ends the manager that the others talk to.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
MINE = "cleanup_worker_containers"
REVOKED_SECONDS = 5.0


@pytest.mark.usefixtures(MINE)
def test_backend_integration_smoke(stack: Stack) -> None:
    for service in ("redis", "postgres", "api", "worker-manager"):
        assert stack.service(service).attrs["State"]["Health"]["Status"] == "healthy", service
    worker_id = stack.create(instructions="Be brief.")
    assert stack.output(stack.tell(worker_id, "anything")).status is ResultStatus.SUCCESS
    assert stack.status(worker_id) is WorkerStatus.RUNNING


@pytest.mark.usefixtures(MINE)
def test_create_claude_worker_with_git_capability(stack: Stack) -> None:
    worker_id = stack.claude("project.*", capabilities=[WorkerCapability.GIT], instructions="You are a test assistant.")
    assert stack.said(worker_id, "which", "git")
    assert "2.1.197" in stack.said(worker_id, "claude", "--version")
    assert "test assistant" in stack.said(worker_id, "cat", "/workspace/CLAUDE.md")
    assert stack.run(worker_id, "which", "node")[0] != 0


@pytest.mark.usefixtures(MINE)
def test_create_factory_worker_with_curl_capability(stack: Stack) -> None:
    worker_id = stack.factory(
        "project.get", capabilities=[WorkerCapability.CURL], instructions="You are a Factory assistant."
    )
    assert "Factory assistant" in stack.said(worker_id, "cat", "/workspace/AGENTS.md")
    assert stack.run(worker_id, "cat", "/workspace/CLAUDE.md")[0] != 0
    assert stack.said(worker_id, "which", "curl")


@pytest.mark.usefixtures(MINE)
def test_different_agent_types_produce_different_images(stack: Stack) -> None:
    claude = stack.container(stack.claude(capabilities=[WorkerCapability.GIT]))
    factory = stack.container(stack.factory(capabilities=[WorkerCapability.CURL]))
    assert claude.attrs["Image"] != factory.attrs["Image"]
    again = stack.container(stack.claude(capabilities=[WorkerCapability.GIT]))
    assert again.attrs["Image"] == claude.attrs["Image"]


@pytest.mark.usefixtures(MINE)
def test_worker_executes_task_with_mocked_claude(stack: Stack) -> None:
    worker_id = stack.claude("project.*", capabilities=[WorkerCapability.GIT], instructions="Use the orchestrator CLI.")
    request_id = stack.tell(worker_id, "Create a new project called 'test-milestone-project'", task_id="task-milestone")
    output = stack.output(request_id, seconds=120)
    assert output.status is ResultStatus.SUCCESS, output.error
    assert (output.task_id, output.worker_id) == ("task-milestone", worker_id)
    assert output.usage.input_tokens > 0
    assert "test-milestone-project" in stack.projects()
    assert len(stack.outputs(request_id)) == 1


@pytest.mark.usefixtures(MINE)
def test_worker_crash_publishes_failure_to_output(stack: Stack) -> None:
    worker_id = stack.create(env_vars={"WORKER_AGENT_COMMAND": "sleep 60"})
    request_id = stack.tell(worker_id, "this never ends", task_id="crash-task", fence=3)
    until(lambda: stack.redis.hget(f"worker:status:{worker_id}", "claimed_at"), "the worker takes its message")
    stack.container(worker_id).kill()
    output = stack.output(request_id, seconds=15)
    assert (output.status, output.cause) == (ResultStatus.FAILED, FailureCause.CRASH)
    assert (output.task_id, output.fence, output.exit_code) == ("crash-task", 3, 137)
    assert "killed" in (output.error or "")
    stack.wait_for(worker_id, WorkerStatus.FAILED)
    assert len(stack.outputs(request_id)) == 1


@pytest.mark.usefixtures(MINE)
def test_permissions_enforced_by_cli(stack: Stack) -> None:
    worker_id = stack.claude("project.get")
    code, output = stack.run(worker_id, "orchestrator", "project", "create", "--name", "unauthorized")
    assert code != 0
    assert "not allowed" in output
    # Not only a courtesy: the api refuses a command line that believes it may.
    code, output = stack.run(
        worker_id, "env", "ALLOWED_COMMANDS=*", "orchestrator", "project", "create", "--name", "unauthorized"
    )
    assert code != 0
    assert "permission denied" in output
    assert "unauthorized" not in stack.projects()


@pytest.mark.usefixtures(MINE)
def test_a_worker_reaches_redis_and_the_api_but_no_database(stack: Stack) -> None:
    worker_id = stack.create()
    reach = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"
    assert stack.run(worker_id, "python3", "-c", reach, "redis", "6379")[0] == 0
    assert stack.run(worker_id, "python3", "-c", reach, "api", "8000")[0] == 0
    postgres = stack.service("postgres")
    addresses = [network["IPAddress"] for network in postgres.attrs["NetworkSettings"]["Networks"].values()]
    for host in ("postgres", *addresses):
        assert stack.run(worker_id, "python3", "-c", reach, host, "5432")[0] != 0, host


@pytest.mark.usefixtures(MINE)
def test_a_workers_redis_user_is_its_own_and_ends_with_it(stack: Stack) -> None:
    worker_id = stack.create()
    (client,) = [each for each in stack.redis.client_list() if each["name"] == f"worker-{worker_id}"][:1]
    assert client["user"] == f"worker-{worker_id}"
    stack.container(worker_id).kill()
    until(
        lambda: f"worker-{worker_id}" not in stack.redis.acl_users() or None,
        "the user of the ended worker is deleted",
        REVOKED_SECONDS,
    )


@pytest.mark.usefixtures(MINE)
def test_workers_live_through_a_restart_of_their_manager_and_are_adopted(stack: Stack) -> None:
    worker_id = stack.create()
    dying = stack.create(env_vars={"WORKER_AGENT_COMMAND": "sleep 60"})
    request_id = stack.tell(dying, "this never ends")
    until(lambda: stack.redis.hget(f"worker:status:{dying}", "claimed_at"), "the worker takes its message")
    manager = stack.service("worker-manager")
    manager.kill()
    stack.container(dying).kill()
    manager.start()
    assert stack.output(request_id).cause is FailureCause.CRASH
    assert stack.output(stack.tell(worker_id, "still there?")).status is ResultStatus.SUCCESS
    assert stack.status(worker_id) is WorkerStatus.RUNNING
    assert len(stack.outputs(request_id)) == 1
