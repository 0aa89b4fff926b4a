"""Idempotency keys: the same command with the same arguments in the same request is one command."""

from __future__ import annotations

import hashlib
import json
import secrets

from orchestrator_cli.errors import JsonValue


def request_scope(request_id: str | None) -> str:
    """Return what makes keys of one request alike; without a request every call is a new one."""
    return request_id or secrets.token_hex(16)


def idempotency_key(scope: str, command: str, arguments: dict[str, JsonValue]) -> str:
    """Return a key of 64 hexadecimal characters for one effect of one command."""
    canonical = json.dumps([scope, command, arguments], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
