"""Entry points load what they need with the collector off, and run with it on."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from shared.runtime.settings import find_repository

ROOT = find_repository()
QUICK = "shared.runtime"
# These two are told apart by their arguments before anything is loaded, or start from nothing but the standard library.
LATE = {"worker_wrapper", "orchestrator_cli", "emulators"}
ENTRIES = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("services/*/src/**/__main__.py"), *ROOT.glob("packages/*/src/*/__main__.py"))
    if path.parent.name not in LATE
)


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_an_entry_point_turns_the_collector_off_before_it_loads_anything(entry: str) -> None:
    tree = ast.parse((ROOT / entry).read_text())
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    first = next(node for node in imports if not (isinstance(node, ast.ImportFrom) and node.module == "__future__"))
    assert isinstance(first, ast.ImportFrom)
    assert (first.module, [name.name for name in first.names]) == (QUICK, ["quick_start"])


def test_the_collector_is_off_while_modules_load_and_on_afterwards() -> None:
    program = """
import gc
from shared.runtime import quick_start
off = gc.isenabled()
import httpx, shared.runtime.service
quick_start.loaded()
print(off, gc.isenabled(), gc.get_freeze_count() > 10_000, httpx.get.__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True", "get"]


def test_a_service_runs_with_the_collector_on() -> None:
    program = """
import gc
from shared.runtime import quick_start
from shared.runtime.service import run_service
from shared.runtime.settings import ServiceSettings

async def compose(process):
    print(gc.isenabled(), gc.get_freeze_count() > 10_000)
    raise OSError("that was all")

settings = ServiceSettings(http_port=0, redis_url="redis://127.0.0.1:1", api_url="http://127.0.0.1:1", api_token="t")
raise SystemExit(run_service("demo", settings, compose))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.split()[:2] == ["True", "True"], done.stderr
    assert done.returncode == 1
