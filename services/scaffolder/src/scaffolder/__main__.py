"""Entry point: `python -m scaffolder`."""

from __future__ import annotations

from shared.runtime import quick_start as quick_start  # first

# isort: split

import sys

from scaffolder.app import composer
from scaffolder.consumer import SERVICE
from scaffolder.settings import ScaffolderSettings
from shared.runtime.service import run_service
from shared.runtime.settings import settings_or_exit


def main() -> int:
    settings = settings_or_exit(SERVICE, ScaffolderSettings)
    return run_service(SERVICE, settings, composer(settings))


if __name__ == "__main__":
    sys.exit(main())
