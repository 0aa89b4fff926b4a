"""`python -m orchestrator_api`: serve the api."""

from __future__ import annotations

import functools
import sys

from orchestrator_api.app import compose
from orchestrator_api.settings import ApiSettings
from shared.runtime.service import run_service


def main() -> int:
    """Run until SIGTERM."""
    settings = ApiSettings()
    return run_service("api", settings, functools.partial(compose, settings=settings))


if __name__ == "__main__":
    sys.exit(main())
