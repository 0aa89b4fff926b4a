"""Callers and their scopes."""

from __future__ import annotations

import pytest

from orchestrator_api.errors import Unauthenticated
from orchestrator_api.tokens import Caller, Tokens, service_token

SECRET = "a-secret-of-a-length-that-every-hmac-algorithm-is-content-with-ok"


def test_a_worker_token_says_whose_and_what_for() -> None:
    tokens = Tokens(SECRET)
    token, expires_at = tokens.mint_worker(
        worker_id="w1", owner_id="u1", scopes=["project.*", "deploy.start"], run_id="r1", ttl_seconds=60
    )
    caller = tokens.read(token)
    assert (caller.kind, caller.name, caller.owner_id, caller.run_id) == ("worker", "w1", "u1", "r1")
    assert caller.expires_at == expires_at.timestamp()
    assert caller.may("project.list")
    assert caller.may("deploy.start")
    assert not caller.may("deploy.status")


def test_a_service_has_no_owner_and_its_keys_are_its_own() -> None:
    caller = Tokens(SECRET).read(service_token(SECRET, "langgraph"))
    assert (caller.kind, caller.owner_id, caller.tenant) == ("service", None, "service:langgraph")
    assert Caller("worker", "w", ("*",), "u1").tenant == Caller("user", "u1", ("*",), "u1").tenant


def test_a_token_is_verified_again_after_it_expired_although_it_was_remembered() -> None:
    tokens = Tokens(SECRET)
    token = service_token(SECRET, "x", ttl_seconds=60)
    remembered = tokens.read(token)
    assert tokens.read(token) is remembered
    expired = service_token(SECRET, "x", ttl_seconds=-1)
    with pytest.raises(Unauthenticated):
        tokens.read(expired)
