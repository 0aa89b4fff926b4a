"""Entry point of `codegen` and `python -m local_stack`."""

from __future__ import annotations

from shared.runtime import quick_start  # first

# isort: split

from local_stack.commands import app


def main() -> None:
    quick_start.loaded()
    app()


if __name__ == "__main__":
    main()
