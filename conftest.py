"""Makes the fixtures of shared.testing available to every test of the repository."""

pytest_plugins = ["shared.testing.fixtures"]
