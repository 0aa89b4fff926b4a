"""The output contract: one JSON object on stdout, whatever happens; notes for people go to stderr."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from orchestrator_cli.errors import CliError, JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command that worked has to say."""

    data: JsonValue
    message: str = ""


def write_answer(answer: Answer) -> None:
    _write({"success": True, "data": answer.data, "message": answer.message})


def write_error(error: CliError) -> None:
    _write({"success": False, "error": error.code, "message": str(error), "details": error.details})


def note(text: str) -> None:
    """Tell a person something; programs do not read it."""
    sys.stderr.write(text + "\n")


def _write(value: JsonObject) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()
