"""House rules no linter knows: hard size stops, one place per concern, nothing quarantined without a reason."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES, TEST_FILE_LINES, FUNCTION_LINES, MAKEFILE_LINES, TYPE_IGNORES = 400, 600, 60, 150, 20
RAW_STREAM_COMMANDS = frozenset(
    [
        "xadd",
        "xread",
        "xreadgroup",
        "xack",
        "xautoclaim",
        "xclaim",
        "xgroup_create",
        "xgroup_destroy",
        "xtrim",
        "xpending",
        "xpending_range",
    ]
)
ENVIRONMENT_MODULES = frozenset({"settings.py", "__main__.py"})
BANNED_MODULE_NAMES = frozenset({"utils.py", "helpers.py", "common.py", "misc.py"})
IGNORE = re.compile(r"#\s*type:\s*ignore(\[[a-z-, ]+\])?(.*)")


def tracked_files() -> list[Path]:
    """Return the files git knows or would add."""
    out = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / line for line in out.splitlines() if (ROOT / line).is_file()]


def is_test(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return "tests" in parts or path.name.startswith("conftest")


def is_foreign(path: Path) -> bool:
    """Tell whether a file belongs to an application that is generated, not to this one."""
    name = path.relative_to(ROOT).as_posix()
    return "scaffolder/template/" in name or "/scenarios/" in name


def size_problems(path: Path, text: str, tree: ast.Module) -> Iterator[str]:
    limit = TEST_FILE_LINES if is_test(path) else FILE_LINES
    lines = text.count("\n")
    if lines > limit:
        yield f"{lines} lines, the hard stop is {limit}: split by verb"
    if path.name in BANNED_MODULE_NAMES:
        yield "name the module after its domain, not after nothing"
    if is_test(path):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > FUNCTION_LINES:
                yield f"line {node.lineno}: {node.name} has {size} lines, the hard stop is {FUNCTION_LINES}"


def place_problems(path: Path, tree: ast.Module) -> Iterator[str]:
    """Raw stream commands live in shared/redis; the environment is read in settings modules."""
    if is_test(path):
        return
    name = path.relative_to(ROOT).as_posix()
    may_stream = name.startswith(("shared/redis/", "shared/testing/"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        if node.attr in RAW_STREAM_COMMANDS and not may_stream:
            yield f"line {node.lineno}: {node.attr} outside shared/redis"
        if (
            node.attr in {"environ", "getenv"}
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
            and path.name not in ENVIRONMENT_MODULES
            and not name.startswith("scripts/")
        ):
            yield f"line {node.lineno}: the environment is read only in settings.py"


def ignores(text: str) -> tuple[int, list[str]]:
    """Count the type ignores of a file and name those without a code and a reason."""
    found, problems = 0, []
    for number, line in enumerate(text.splitlines(), 1):
        match = IGNORE.search(line)
        if match and "re.compile" not in line:
            found += 1
            if not match.group(1) or len(match.group(2).strip(" #-—:")) < 8:
                problems.append(f"line {number}: a type: ignore needs an error code and a reason")
    return found, problems


def tree_problems(files: list[Path]) -> Iterator[str]:
    makefile = (ROOT / "Makefile").read_text().count("\n")
    if makefile > MAKEFILE_LINES:
        yield f"Makefile: {makefile} lines, the hard stop is {MAKEFILE_LINES}"
    if "://" in (ROOT / "requirements.lock").read_text():
        yield "requirements.lock: an address was written into the lock"
    for path in files:
        if path.parent == ROOT / "tests_legacy" and path.suffix == ".py":
            doc = ast.get_docstring(ast.parse(path.read_text())) or ""
            if len(doc.splitlines()) < 3:
                yield f"{path.name}: a quarantined test says why it is here, what lets it leave, and by when"
    for guide, limit in [(ROOT / "AGENTS.md", 120), *((p, 60) for p in ROOT.glob("services/*/AGENTS.md"))]:
        if guide.exists() and guide.read_text().count("\n") > limit:
            yield f"{guide.relative_to(ROOT)}: longer than {limit} lines"


def main() -> int:
    problems: list[str] = []
    total_ignores = 0
    files = tracked_files()
    for path in files:
        if path.suffix != ".py" or is_foreign(path):
            continue
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        count, ignore_problems = ignores(text)
        total_ignores += count
        name = path.relative_to(ROOT).as_posix()
        found = [*size_problems(path, text, tree), *place_problems(path, tree), *ignore_problems]
        problems += [f"{name}: {problem}" for problem in found]
    if total_ignores > TYPE_IGNORES:
        problems.append(f"{total_ignores} type: ignore comments, at most {TYPE_IGNORES}")
    problems += tree_problems(files)
    for problem in problems:
        print(problem)
    print(f"house rules: {len(files)} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
