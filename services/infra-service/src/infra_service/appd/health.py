"""Asks an application whether it is up and which commit it is."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass

_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class Expected:
    host: str
    port: int
    sha: str


def answers(expected: Expected) -> bool:
    """Tell whether /health is 200 and /version names the expected commit."""
    connection = http.client.HTTPConnection(expected.host, expected.port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            return False
        connection.request("GET", "/version")
        answer = connection.getresponse()
        version = json.loads(answer.read())
        return answer.status == 200 and isinstance(version, dict) and version.get("sha") == expected.sha
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
