"""Packs appd into one file that `python3` runs; the same sources give the same bytes, so Ansible sees no change."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_ENTRY = "import sys\n\nfrom infra_service.appd.command import main\n\nsys.exit(main(sys.argv[1:]))\n"
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)


def appd_program() -> bytes:
    """Return the program."""
    sources = {"__main__.py": _ENTRY, "infra_service/__init__.py": ""}
    for path in sorted((_PACKAGE / "appd").glob("*.py")):
        sources[f"infra_service/appd/{path.name}"] = path.read_text(encoding="utf-8")
    packed = io.BytesIO()
    packed.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, text in sources.items():
            archive.writestr(zipfile.ZipInfo(name, _FIXED_DATE), text)
    return packed.getvalue()
