"""What the service asks the bus for."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from agent_graphs.app import subscriptions
from agent_graphs.settings import LangGraphSettings
from agent_graphs.testing import World


async def test_tasks_begin_at_most_ten_a_second_and_answers_are_taken_as_they_come(world: World) -> None:
    settings = LangGraphSettings(
        checkpoint_database_url=SecretStr("postgresql://127.0.0.1/x"),
        github_app_id="1",
        github_app_private_key_file=Path(__file__),
        attempt_secret=SecretStr("0123456789abcdef"),
        deploy_token=SecretStr("token"),
    )
    limits = {sub.stream.name: sub.max_per_second for sub in subscriptions(world.consumers, settings)}
    assert limits == {
        "engineering:queue": 10.0,
        "deploy:queue": 10.0,
        "scaffolder:results": None,
        "worker:responses:developer": None,
        "worker:developer:output": None,
    }
