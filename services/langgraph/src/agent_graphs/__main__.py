"""Entry point: `python -m agent_graphs`."""

from __future__ import annotations

from shared.runtime import quick_start as quick_start  # first

# isort: split

import sys

from agent_graphs.app import SERVICE, composer
from agent_graphs.settings import LangGraphSettings
from shared.runtime.service import run_service
from shared.runtime.settings import settings_or_exit


def main() -> int:
    settings = settings_or_exit(SERVICE, LangGraphSettings)
    return run_service(SERVICE, settings, composer(settings))


if __name__ == "__main__":
    sys.exit(main())
