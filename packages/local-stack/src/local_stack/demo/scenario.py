"""A scenario: what the user writes, which scripted answers go with it, and what must then be true of the URL."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import httpx
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local_stack.demo.report import Report
from local_stack.errors import Precondition


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HttpCheck(_Model):
    """One request to the deployed application and what its answer must show, after redirects."""

    name: str
    method: Literal["GET", "POST"] = "GET"
    path: str = "/"
    form: dict[str, str] = Field(default_factory=dict)
    status: int = 200
    contains: list[str] = Field(default_factory=list)
    in_order: list[str] = Field(default_factory=list)

    async def run(self, client: httpx.AsyncClient, report: Report) -> None:
        """Perform the request and note the outcome."""
        try:
            answer = await client.request(self.method, self.path, data=self.form or None, follow_redirects=True)
        except httpx.HTTPError as error:
            report.check(self.name, False, f"{self.method} {self.path}: {error}")
            return
        missing = [text for text in (*self.contains, *self.in_order) if text not in answer.text]
        positions = [answer.text.find(text) for text in self.in_order]
        is_ok = answer.status_code == self.status and not missing and positions == sorted(positions)
        detail = f"{self.method} {self.path} → {answer.status_code}"
        report.check(self.name, is_ok, f"{detail}, missing {missing}" if missing else detail)


class Message(_Model):
    text: str
    checks: list[HttpCheck] = Field(default_factory=list)


class Scenario(_Model):
    name: str
    script: str | None = None
    messages: list[Message] = Field(min_length=1)


def load_scenario(path: Path) -> tuple[Scenario, Path | None]:
    """Read a scenario and the path of its scripted answers; Precondition names what is wrong with the file."""
    try:
        scenario = Scenario.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise Precondition(f"the scenario {path} cannot be used: {error}", "mend the file") from error
    return scenario, path.parent / scenario.script if scenario.script else None


def bundled_scenario() -> Path:
    """Return the scenario `make demo` plays when no other is asked for."""
    return Path(__file__).parent / "scenarios" / "guest-book.yaml"


def scenario_for(prompt: str) -> Scenario:
    """Return a scenario of one free message: only what must hold for every application is checked."""
    return Scenario(
        name="your application",
        messages=[Message(text=prompt, checks=[HttpCheck(name="the start page answers", path="/")])],
    )
