"""Reads what a step wrote to GITHUB_OUTPUT, GITHUB_ENV and GITHUB_PATH."""

from pathlib import Path

from emulators.github.errors import StepError

MAX_BYTES = 2**20
PROTECTED_PREFIXES = ("GITHUB_", "RUNNER_")


def read_pairs(path: Path) -> dict[str, str]:
    """Read `name=value` lines and `name<<DELIMITER` blocks; raises StepError naming the bad line."""
    pairs: dict[str, str] = {}
    lines = _text(path).splitlines()
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if not line:
            continue
        equals, marker = line.find("="), line.find("<<")
        if marker >= 0 and (equals < 0 or marker < equals):
            name, delimiter = line[:marker], line[marker + 2 :]
            try:
                end = lines.index(delimiter, position)
            except ValueError:
                raise StepError(f"Invalid value. Matching delimiter not found '{delimiter}'") from None
            pairs[name] = "\n".join(lines[position:end])
            position = end + 1
        elif equals > 0:
            pairs[line[:equals]] = line[equals + 1 :]
        else:
            raise StepError(f"Invalid format '{line}'")
    return pairs


def read_environment(path: Path) -> dict[str, str]:
    """Read GITHUB_ENV; names that belong to the runner are left out, as on GitHub."""
    return {name: value for name, value in read_pairs(path).items() if not name.startswith(PROTECTED_PREFIXES)}


def read_paths(path: Path) -> list[str]:
    """Read GITHUB_PATH, one directory a line."""
    return [line for line in _text(path).splitlines() if line]


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise StepError(f"{path.name} is longer than {MAX_BYTES} bytes")
    return data.decode(errors="replace")
