"""A world in memory for every test."""

from __future__ import annotations

import pytest

from agent_graphs.testing import World


@pytest.fixture
def world() -> World:
    return World()
