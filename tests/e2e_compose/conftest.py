"""The running compose stack under test: `make test-compose` brings it up and names its settings in COMPOSE_STACK."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local_stack.testing.deployment import Deployment

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.compose)


@pytest.fixture(scope="session")
def deployment() -> Deployment:
    if "COMPOSE_STACK" not in os.environ:
        pytest.skip("no compose stack: `make test-compose` brings one up")
    return Deployment.of(ROOT / os.environ["COMPOSE_STACK"])
