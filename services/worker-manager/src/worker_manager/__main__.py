"""`python -m worker_manager` runs the service; `python -m worker_manager stop-workers` ends every process worker."""

from __future__ import annotations

from shared.runtime import quick_start as quick_start  # first

# isort: split

import asyncio
import sys

from shared.runtime.service import run_service
from shared.runtime.settings import settings_or_exit
from worker_manager.app import composer
from worker_manager.settings import SERVICE, Settings
from worker_manager.stopping import stop_workers


def main() -> int:
    settings = settings_or_exit(SERVICE, Settings)
    if sys.argv[1:] == ["stop-workers"]:
        count = asyncio.run(stop_workers(settings))
        sys.stderr.write(f"worker-manager: {count} workers ended\n")
        return 0
    return run_service(SERVICE, settings, composer(settings))


if __name__ == "__main__":
    sys.exit(main())
