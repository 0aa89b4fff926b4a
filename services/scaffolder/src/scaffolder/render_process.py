"""The child process that renders: `python -m scaffolder.render_process`, one JSON request on stdin.

It runs without secrets in its environment, without trust for the template, and with the answers as data.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import yaml
from copier import run_copy
from copier.errors import CopierError
from jinja2 import TemplateError

from scaffolder.exit_codes import EXIT_REJECTED, EXIT_UNAVAILABLE


def render(request: dict[str, Any]) -> int:
    """Render into the destination and return an exit code; the reason goes to stderr."""
    try:
        run_copy(
            request["template"],
            request["destination"],
            data=request["answers"],
            vcs_ref=request["ref"],
            defaults=True,
            overwrite=True,
            quiet=True,
            unsafe=False,
        )
    except (CopierError, TemplateError, yaml.YAMLError, ValueError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}")
        return EXIT_REJECTED
    except (OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}")
        return EXIT_UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(render(json.load(sys.stdin)))
