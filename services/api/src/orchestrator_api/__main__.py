"""`python -m orchestrator_api`: serve the api."""

from __future__ import annotations

from shared.runtime import quick_start as quick_start  # first

# isort: split

import functools
import sys

from orchestrator_api.app import compose
from orchestrator_api.settings import ApiSettings
from shared.runtime.service import run_service
from shared.runtime.settings import settings_or_exit


def main() -> int:
    """Run until SIGTERM."""
    settings = settings_or_exit("api", ApiSettings)
    return run_service("api", settings, functools.partial(compose, settings=settings))


if __name__ == "__main__":
    sys.exit(main())
