"""Renders a copier template into a folder by a child process with a deadline."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from scaffolder.errors import DeadlineExceeded, ProcessFailed, TemplateRejected, TemplateUnavailable
from scaffolder.exit_codes import EXIT_REJECTED
from scaffolder.processes import Command, run

DEADLINE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Template:
    """Where the template is and what the marker calls it; `ref` pins one in git."""

    location: str
    ref: str | None = None
    name: str = "bundled"


class Renderer:
    """Owns nothing but the template's name and what the child may see."""

    def __init__(self, template: Template, environment: Mapping[str, str]) -> None:
        self.template = template
        self._environment = environment

    async def render(self, answers: Mapping[str, JsonValue], destination: Path, home: Path) -> None:
        """Render into `destination`; raises TemplateRejected or TemplateUnavailable."""
        request = {
            "template": self.template.location,
            "ref": self.template.ref,
            "answers": dict(answers),
            "destination": str(destination),
        }
        command = Command(
            [sys.executable, "-m", "scaffolder.render_process"],
            home,
            {**self._environment, "HOME": str(home), "GIT_ALLOW_PROTOCOL": "https:file"},
            DEADLINE_SECONDS,
            json.dumps(request).encode(),
        )
        try:
            await run(command)
        except DeadlineExceeded as error:
            raise TemplateUnavailable(f"rendering the template took more than {DEADLINE_SECONDS:.0f} s") from error
        except ProcessFailed as error:
            if error.returncode == EXIT_REJECTED:
                raise TemplateRejected(str(error)) from error
            raise TemplateUnavailable(str(error)) from error
