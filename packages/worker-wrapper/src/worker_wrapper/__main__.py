"""`python -m worker_wrapper`, also installed as `worker-wrapper`: the worker itself, or `healthcheck`."""

from __future__ import annotations

import json
import sys

USAGE = "usage: worker-wrapper [healthcheck]\n"


def main() -> int:
    """Run the worker (exit codes: 0 told to stop, 1 cannot go on, 2 wrong settings or usage)."""
    arguments = sys.argv[1:]
    if arguments == ["healthcheck"]:
        return _healthcheck()
    if arguments:
        sys.stderr.write(USAGE)
        return 2
    from worker_wrapper.errors import SettingsError  # not at the top: a healthcheck needs none of it
    from worker_wrapper.settings import load_settings

    try:
        settings = load_settings()
    except SettingsError as error:
        sys.stderr.write(f"worker-wrapper: {error}\n")
        return 2
    from shared.runtime import quick_start
    from worker_wrapper.app import run

    quick_start.loaded()
    return run(settings)


def _healthcheck() -> int:
    from worker_wrapper.healthcheck import find_problems
    from worker_wrapper.settings import environment

    problems = find_problems(environment())
    sys.stdout.write(json.dumps({"healthy": not problems, "problems": problems}) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
