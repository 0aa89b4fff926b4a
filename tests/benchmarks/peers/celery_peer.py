"""celery, tuned: one process without a pool, a hundred messages ahead, acknowledged after the task."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import worker_ready

from tests.benchmarks.peers.contender import Job, Meter, main, publish_all
from tests.benchmarks.peers.payload import Event, event


def app_of(job: Job, meter: Meter | None) -> tuple[Any, Any]:
    app = Celery("bench", broker=job.url, set_as_current=True)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        worker_prefetch_multiplier=100,
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
    )

    def handle(message: dict[str, Any]) -> None:
        if meter is not None:
            meter.hit(Event.model_validate(message).sent_ns)

    return app, app.task(handle, name="handle")


def consume(job: Job) -> None:
    meter = Meter(job)
    app, _ = app_of(job, meter)

    def tell(**_: Any) -> None:
        meter.ready()

    worker_ready.connect(tell)
    app.worker_main(["worker", "-l", "ERROR", "--without-gossip", "--without-mingle", "--pool=solo"])


async def produce(job: Job) -> None:
    _, task = app_of(job, None)

    async def send(numbers: range) -> None:
        for number in numbers:
            task.delay(event(number).model_dump(mode="json"))

    await publish_all(job, send)


if __name__ == "__main__":
    main({"consume": consume, "produce": produce})
