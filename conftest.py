"""Makes the fixtures of shared.testing available to every test of the repository."""

import gc

import pytest

gc.set_threshold(50_000)  # nearly all that tests load stays: looking at it again and again takes a tenth of their time
pytest.register_assert_rewrite("shared.testing")
pytest_plugins = ["shared.testing.fixtures", "shared.testing.deployed_fixtures", "shared.testing.github_fixtures"]
