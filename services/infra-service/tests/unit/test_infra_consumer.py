"""Requests and their results."""

from __future__ import annotations

from infra_service.consumer import SERVICE, ProvisionerConsumer
from infra_service.errors import PlayCrashed
from infra_service.plays import Play, PlayOutcome
from infra_service.provisioning import Provisioner
from infra_service.settings import InfraSettings
from shared.contracts.dto.infrastructure import ServerCreate
from shared.contracts.queues.events import ProvisionerMessage, ProvisionerResult
from shared.contracts.topology import PROVISIONER_QUEUE, PROVISIONER_RESULTS
from shared.contracts.vocabulary import ResultStatus
from shared.infra import SystemClock
from shared.redis.subscription import StreamSub
from shared.testing.api import FakeApi
from shared.testing.bus import FakeBus


class AnsweringPlays:
    """Raises or returns what it is given, in turn."""

    def __init__(self, *answers: PlayOutcome | PlayCrashed) -> None:
        self._answers = list(answers)

    async def run(self, play: Play) -> PlayOutcome:
        answer = self._answers.pop(0)
        if isinstance(answer, PlayCrashed):
            raise answer
        return answer


class Desk:
    def __init__(self, *answers: PlayOutcome | PlayCrashed) -> None:
        self.bus, self.api = FakeBus(), FakeApi()
        settings = InfraSettings.model_validate({"deploy_token": "t", "server_dir": "/srv/x"})
        provisioner = Provisioner(AnsweringPlays(*answers), settings, SystemClock())
        consumer = ProvisionerConsumer(self.bus, self.api, provisioner, SystemClock(), "infra-service-1")
        self.subscription = StreamSub(PROVISIONER_QUEUE, SERVICE, "infra-service-1", consumer.handle)

    async def ask(self, handle: str = "local") -> None:
        await self.api.create_server(ServerCreate(handle="local", host="127.0.0.1", is_embedded=True))
        await self.bus.publish(PROVISIONER_QUEUE, ProvisionerMessage(request_id="p1", server_handle=handle))
        await self.bus.drain_once(self.subscription)

    async def results(self) -> list[ProvisionerResult]:
        return await self.bus.messages(PROVISIONER_RESULTS)


async def test_a_prepared_server_is_reported_with_its_address() -> None:
    desk = Desk(PlayOutcome(status="successful"))
    await desk.ask()
    [result] = await desk.results()
    assert (result.request_id, result.status, result.server_ip) == ("p1", ResultStatus.SUCCESS, "127.0.0.1")


async def test_a_failed_task_is_reported_with_its_message() -> None:
    desk = Desk(PlayOutcome(status="failed", failures=["Program: no space left", "Folders: x"]))
    await desk.ask()
    [result] = await desk.results()
    assert (result.status, result.error) == (ResultStatus.FAILED, "Program: no space left")
    assert result.errors == ["Program: no space left", "Folders: x"]


async def test_an_unknown_server_is_reported() -> None:
    desk = Desk()
    await desk.ask("nowhere")
    [result] = await desk.results()
    assert result.status is ResultStatus.FAILED
    assert "nowhere" in (result.error or "")


async def test_a_crash_of_ansible_is_tried_again() -> None:
    desk = Desk(PlayCrashed("killed"), PlayOutcome(status="successful"))
    await desk.ask()
    assert await desk.results() == []
    await desk.bus.drain_once(desk.subscription)
    [result] = await desk.results()
    assert result.status is ResultStatus.SUCCESS


async def test_a_host_in_preparation_is_left_to_whoever_prepares_it() -> None:
    desk = Desk(PlayOutcome(status="successful"))
    lease = await desk.api.claim_lease("provision:local", "infra-service-2", 60)
    await desk.ask()
    assert await desk.results() == []
    await desk.api.release_lease("provision:local", "infra-service-2", lease.fence)
    await desk.bus.drain_once(desk.subscription)
    assert [result.status for result in await desk.results()] == [ResultStatus.SUCCESS]
