"""Entry point of `codegen` and `python -m local_stack`."""

from __future__ import annotations

from local_stack.commands import app


def main() -> None:
    app()


if __name__ == "__main__":
    main()
