"""Names derived from a run: request ids, attempt tokens, branches. The same inputs always give the same name."""

from __future__ import annotations

import hashlib
import hmac

from pydantic import SecretStr

from agent_graphs.errors import UnknownRequest


def request_id(run_id: str, node: str, number: int) -> str:
    """Return the id of a run's `number`-th request of a kind; everything keyed by it happens once."""
    return f"{run_id}:{node}:{number}"


def run_of(request: str) -> str:
    """Return the run a request belongs to; UnknownRequest when the id was not made here."""
    run_id, separator, _ = request.partition(":")
    if not separator or not run_id:
        raise UnknownRequest(request)
    return run_id


def attempt_token(secret: SecretStr, request: str) -> str:
    """Return the 32 hexadecimal characters only the worker that was given this request knows."""
    return _keyed(secret, request)[:32]


def is_attempt_token(secret: SecretStr, request: str, token: str | None) -> bool:
    """Compare in constant time."""
    return token is not None and hmac.compare_digest(attempt_token(secret, request), token)


def generated_secret(secret: SecretStr, project_id: str, name: str) -> SecretStr:
    """Return the value of a variable the platform makes up: the same at every deploy of a project, stored nowhere."""
    return SecretStr(_keyed(secret, f"variable:{project_id}:{name}"))


def branch_name(run_id: str) -> str:
    return f"run/{run_id[:12]}"


def dispatch_correlation(run_id: str, attempt: int) -> str:
    """Return what a workflow run's title carries, so that it can be found again."""
    return f"{run_id[:12]}-{attempt}"


def _keyed(secret: SecretStr, text: str) -> str:
    return hmac.new(secret.get_secret_value().encode(), text.encode(), hashlib.sha256).hexdigest()
