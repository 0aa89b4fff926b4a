"""Entry point: `python -m orchestrator_scheduler`."""

from __future__ import annotations

from shared.runtime import quick_start as quick_start  # first

# isort: split

import sys

from orchestrator_scheduler.app import composer
from orchestrator_scheduler.settings import SchedulerSettings
from shared.runtime.service import run_service
from shared.runtime.settings import settings_or_exit


def main() -> int:
    settings = settings_or_exit("scheduler", SchedulerSettings)
    return run_service("scheduler", settings, composer(settings))


if __name__ == "__main__":
    sys.exit(main())
