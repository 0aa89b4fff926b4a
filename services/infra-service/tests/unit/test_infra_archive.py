"""The daemon as one file."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from infra_service.archive import appd_program

APPD = Path(appd_program.__code__.co_filename).parent / "appd"


def test_the_same_sources_give_the_same_bytes() -> None:
    assert appd_program() == appd_program()


def test_the_daemon_needs_nothing_but_the_standard_library() -> None:
    imported: set[str] = set()
    for path in APPD.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("infra_service.appd"):
                imported.add(node.module.partition(".")[0])
    assert imported <= set(sys.stdlib_module_names)
