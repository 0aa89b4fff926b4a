"""Entry point: `python -m infra_service`."""

from __future__ import annotations

from shared.runtime import quick_start as quick_start  # first

# isort: split

import sys

from infra_service.app import composer
from infra_service.consumer import SERVICE
from infra_service.settings import InfraSettings
from shared.runtime.service import run_service
from shared.runtime.settings import settings_or_exit


def main() -> int:
    settings = settings_or_exit(SERVICE, InfraSettings)
    return run_service(SERVICE, settings, composer(settings))


if __name__ == "__main__":
    sys.exit(main())
