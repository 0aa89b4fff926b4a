"""Reads `.env.example`: which variables an application wants and where each value comes from. No effects."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from enum import StrEnum

from agent_graphs.state import Dumped

_LINE = re.compile(r"^(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=(?P<value>.*)$")
_SECRET_NAME = re.compile(r"^(?!GITHUB_)[A-Z][A-Z0-9_]{0,99}$")
_MARKER = re.compile(r"^\W*(?P<word>derived|generated|user|literal)\b", re.IGNORECASE)
_MADE_UP = re.compile(r"(SECRET|SALT|PASSWORD|PASSPHRASE|SIGNING_KEY|ENCRYPTION_KEY)")
_FROM_OUTSIDE = re.compile(r"(CLIENT_SECRET|API_KEY|ACCESS_KEY|BOT_TOKEN|WEBHOOK_SECRET|API_SECRET)")
_PLACEHOLDER = re.compile(r"^(<.*>|\.{3}|x{3,}|change[-_ ]?me|your[-_ ].*|todo)$", re.IGNORECASE)
_RESERVED = frozenset({"DEPLOY_URL", "DEPLOY_TOKEN"})
_SET_BY_SERVER = frozenset({"PORT", "HOST", "DATA_DIR", "APP_SHA"})
_ADDRESS = re.compile(r"^(APP|BASE|PUBLIC|SERVICE|SITE|EXTERNAL)_URL$")


class Origin(StrEnum):
    """Where a value comes from: the platform's dice, the deploy itself, a person, the file."""

    GENERATED = "generated"
    DERIVED = "derived"
    USER = "user"
    LITERAL = "literal"


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    origin: Origin
    value: str = ""

    def dump(self) -> Dumped:
        return {**asdict(self), "origin": self.origin.value}

    @classmethod
    def load(cls, dumped: Dumped) -> Variable:
        return cls(dumped["name"], Origin(dumped["origin"]), dumped["value"])

    @property
    def is_address(self) -> bool:
        """Tell whether the variable wants the application's own URL."""
        return self.origin is Origin.DERIVED and self.name not in _SET_BY_SERVER and "URL" in self.name


def read_variables(text: str) -> list[Variable]:
    """Return the variables of an `.env.example`, in order, the last line of a name winning.

    The comment directly above a variable, or after its value, may begin with derived, generated, user or literal;
    without one the name and the value decide. Names that cannot be Actions secrets are left out.
    """
    found: dict[str, Variable] = {}
    marker: Origin | None = None
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("#"):
            marker = _origin_in(line)
            continue
        match = _LINE.match(line)
        if match is not None:
            value, comment = _split(match["value"])
            name = match["name"]
            if _SECRET_NAME.match(name) and name not in _RESERVED:
                found[name] = Variable(name, _origin_in(comment) or marker or _guess(name, value), value)
        marker = None
    return list(found.values())


def _origin_in(comment: str) -> Origin | None:
    match = _MARKER.match(comment.lstrip("# \t"))
    return Origin(match["word"].lower()) if match is not None else None


def _guess(name: str, value: str) -> Origin:
    if name in _SET_BY_SERVER or (_ADDRESS.match(name) and not value):
        return Origin.DERIVED
    if value and not _PLACEHOLDER.match(value):
        return Origin.LITERAL
    if _MADE_UP.search(name) and not _FROM_OUTSIDE.search(name):
        return Origin.GENERATED
    return Origin.USER


def _split(text: str) -> tuple[str, str]:
    """Split `value # comment`; quotes around the value are taken off."""
    text = text.strip()
    if text[:1] in ("'", '"') and (end := text.find(text[0], 1)) > 0:
        return text[1:end], text[end + 1 :].strip()
    value, separator, comment = text.partition(" #")
    if text.startswith("#"):
        return "", text
    return value.strip(), comment.strip() if separator else ""
