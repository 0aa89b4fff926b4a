"""Makes the fixtures of shared.testing available to every test of the repository."""

import functools
import gc
import ssl
import sys

import pytest

# PYTHONDONTWRITEBYTECODE would have every process of every run compile, and rewrite the assertions of, all tests anew.
sys.dont_write_bytecode = False
gc.set_threshold(50_000)  # nearly all that tests load stays: no need to look at it again and again
# Every HTTP client of every test would load all certificates of this machine anew.
ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]  # the same function, remembering
pytest.register_assert_rewrite("shared.testing")
pytest_plugins = ["shared.testing.fixtures", "shared.testing.deployed_fixtures", "shared.testing.github_fixtures"]
