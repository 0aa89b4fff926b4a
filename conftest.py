"""Makes the fixtures of shared.testing available to every test of the repository."""

import pytest

pytest.register_assert_rewrite("shared.testing")
pytest_plugins = ["shared.testing.fixtures", "shared.testing.deployed_fixtures", "shared.testing.github_fixtures"]
