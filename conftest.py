"""Makes the fixtures of shared.testing available to every test of the repository."""

import gc

import pytest

gc.set_threshold(50_000)  # nearly all that tests load stays: no need to look at it again and again
pytest.register_assert_rewrite("shared.testing")
pytest_plugins = ["shared.testing.fixtures", "shared.testing.deployed_fixtures", "shared.testing.github_fixtures"]
