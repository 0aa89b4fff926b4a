"""Prints the part of requirements.lock that given members or packages need, hashes included.

The closure follows what is installed in this environment, which scripts/bootstrap.sh made from the same lock.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = Path(__file__).resolve().parent.parent.parent / "requirements.lock"
# The interpreter of the images, Debian 12's, decides about markers, not the one that runs this.
IMAGE_PYTHON = {"python_version": "3.11", "python_full_version": "3.11.2"}


def stanzas() -> dict[str, str]:
    """Return the lock's entries by name: the pinned version and its hashes."""
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", LOCK.read_text().strip()):
        found[canonicalize_name(re.split(r"[=\[ ]", entry, maxsplit=1)[0])] = entry
    return found


def closure(roots: list[str]) -> set[str]:
    """Return the names of everything the roots need on this platform, the roots included."""
    todo = [Requirement(root) for root in roots]
    seen: set[tuple[str, str]] = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            needed = [Requirement(text) for text in requires(name) or []]
            todo += [
                need for need in needed if need.marker is None or need.marker.evaluate({**IMAGE_PYTHON, "extra": extra})
            ]
    return {name for name, _ in seen}


def main(roots: list[str], *, with_dependencies: bool) -> None:
    lock = stanzas()
    wanted = closure(roots) if with_dependencies else {canonicalize_name(root) for root in roots}
    for name in sorted(wanted & lock.keys()):
        print(lock[name])


if __name__ == "__main__":
    alone = "--alone"
    main([word for word in sys.argv[1:] if word != alone], with_dependencies=alone not in sys.argv)
