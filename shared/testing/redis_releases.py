"""The two Redis releases the bus is tested on: the wheel's 6.2, and Debian's 7.0 where it is installed or fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

WHEEL = "6.2"
DEBIAN = "7.0"
BOTH_SERVERS = pytest.mark.parametrize("redis_binary", [WHEEL, DEBIAN], indirect=True, scope="session")
_SYSTEM = Path("/usr/bin/redis-server")


def binary_of(release: str, root: Path) -> Path | None:
    """Return the server of a release, None for the wheel's; skips the test when this machine has it not."""
    if release == WHEEL:
        return None
    fetched = root / ".codegen" / "redis-7.0" / "redis-server"
    for candidate in (_SYSTEM, fetched):
        if candidate.exists():
            return candidate
    pytest.skip("no Redis 7.0 here: scripts/redis7.sh fetches it where there is apt-get")
