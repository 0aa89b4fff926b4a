"""Makes the fixtures of shared.testing available to every test of the repository."""

import pytest

pytest.register_assert_rewrite("shared.testing.bus_contract", "shared.testing.bus_failure_contract")
pytest_plugins = ["shared.testing.fixtures"]
