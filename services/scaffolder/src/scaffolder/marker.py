"""`.project.yml`: the marker in a repository that says which project it belongs to."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from pydantic import JsonValue

PATH = ".project.yml"
_PROJECT_ID = re.compile(r'^project_id: "?([A-Za-z0-9_-]+)"?\s*$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Marker:
    project_id: str
    name: str
    modules: tuple[str, ...]
    template: str
    template_ref: str | None = None

    def text(self) -> str:
        """Return the file's content; JSON values are YAML values."""
        values: dict[str, JsonValue] = {
            "project_id": self.project_id,
            "name": self.name,
            "modules": list(self.modules),
            "template": self.template,
            "template_ref": self.template_ref,
        }
        lines = [f"{name}: {json.dumps(value)}" for name, value in values.items()]
        return "\n".join(["# Which project of the platform this repository belongs to.", *lines, ""])


def project_id_of(text: str | None) -> str | None:
    """Return the project id a marker names, None when it is no marker."""
    match = _PROJECT_ID.search(text or "")
    return match[1] if match else None
