"""Each request is answered: refusals at once, failures when no try is left."""

from __future__ import annotations

from scaffolder.consumer import SERVICE, ScaffolderConsumer
from scaffolder.rendering import Renderer, Template
from scaffolder.repository import Repositories
from scaffolder.service import ScaffoldService
from shared.clients.github.errors import GitHubUnauthorized, GitHubUnavailable
from shared.contracts.dto.work import ProjectCreate
from shared.contracts.queues.work import ScaffolderMessage
from shared.contracts.topology import ADMIN_NOTIFICATIONS, SCAFFOLDER_QUEUE, SCAFFOLDER_RESULTS
from shared.contracts.vocabulary import ResultStatus
from shared.infra import SystemClock
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import StreamSub
from shared.testing.api import FakeApi
from shared.testing.bus import FakeBus
from shared.testing.github import FakeGitHub


class Desk:
    """A consumer on fakes; nothing here gets as far as a process."""

    def __init__(self) -> None:
        self.bus = FakeBus(retry=RetryPolicy.immediate())
        self.api = FakeApi()
        self.github = FakeGitHub()
        service = ScaffoldService(
            self.api,
            self.github,
            Repositories(self.github, "acme"),
            Renderer(Template("/nowhere"), {}),
            environment={},
            web_url="http://github.test",
        )
        handler = ScaffolderConsumer(self.bus, service, SystemClock(), RetryPolicy.immediate()).handle
        self.subscription = StreamSub(SCAFFOLDER_QUEUE, SERVICE, f"{SERVICE}-1", handler)

    async def ask(self, project_id: str) -> None:
        message = ScaffolderMessage(request_id="r:scaffold:1", project_id=project_id, project_name="birds")
        await self.bus.publish(SCAFFOLDER_QUEUE, message)

    async def project(self) -> str:
        return (await self.api.create_project(ProjectCreate(name="birds", owner_id="u1"))).id


async def test_an_unknown_project_is_answered_as_failed() -> None:
    desk = Desk()
    await desk.ask("nobody")
    await desk.bus.drain_once(desk.subscription)
    [result] = await desk.bus.messages(SCAFFOLDER_RESULTS)
    assert (result.request_id, result.status) == ("r:scaffold:1", ResultStatus.FAILED)
    assert "nobody" in (result.error or "")


async def test_an_outage_is_retried_and_answered_after_the_last_try() -> None:
    desk = Desk()
    project_id = await desk.project()
    desk.github.fail("create_repository", GitHubUnavailable("down"), times=5)
    await desk.ask(project_id)
    for _ in range(4):
        await desk.bus.drain_once(desk.subscription)
    assert await desk.bus.messages(SCAFFOLDER_RESULTS) == []
    await desk.bus.drain_once(desk.subscription)
    [result] = await desk.bus.messages(SCAFFOLDER_RESULTS)
    assert (result.status, result.error) == (ResultStatus.ERROR, "down")
    assert len(await desk.bus.messages(SCAFFOLDER_QUEUE.dead_letters)) == 1


async def test_wrong_credentials_are_told_to_the_administrators() -> None:
    desk = Desk()
    project_id = await desk.project()
    desk.github.fail("create_repository", GitHubUnauthorized("bad key"))
    await desk.ask(project_id)
    await desk.bus.drain_once(desk.subscription)
    [result] = await desk.bus.messages(SCAFFOLDER_RESULTS)
    [notification] = await desk.bus.messages(ADMIN_NOTIFICATIONS)
    assert (result.status, notification.text) == (ResultStatus.FAILED, "bad key")


async def test_a_foreign_clone_address_gets_no_token() -> None:
    desk = Desk()
    project_id = await desk.project()
    # The fake's addresses lie below github.test; this consumer believes in another host.
    service = ScaffoldService(
        desk.api,
        desk.github,
        Repositories(desk.github, "acme"),
        Renderer(Template("/nowhere"), {}),
        environment={},
        web_url="https://github.com",
    )
    marker = f"project_id: {project_id}\n"
    desk.github.add_repository("acme/birds", {".project.yml": marker})
    consumer = ScaffolderConsumer(desk.bus, service, SystemClock())
    await desk.ask(project_id)
    await desk.bus.drain_once(StreamSub(SCAFFOLDER_QUEUE, SERVICE, "two", consumer.handle))
    [result] = await desk.bus.messages(SCAFFOLDER_RESULTS)
    assert result.status is ResultStatus.FAILED
    assert "not below https://github.com/" in (result.error or "")
