"""Entry point: `python -m orchestrator_scheduler`."""

from __future__ import annotations

import sys

from orchestrator_scheduler.app import composer
from orchestrator_scheduler.settings import SchedulerSettings
from shared.runtime.service import run_service


def main() -> int:
    settings = SchedulerSettings()
    return run_service("scheduler", settings, composer(settings))


if __name__ == "__main__":
    sys.exit(main())
