"""One address, two dialects."""

from __future__ import annotations

import pytest

from orchestrator_api.db.urls import asyncpg_dsn, sqlalchemy_url


@pytest.mark.parametrize("scheme", ["postgresql://", "postgres://", "postgresql+asyncpg://"])
def test_every_spelling_is_understood(scheme: str) -> None:
    rest = "user:pw@host:5432/db?host=/run/pg"
    assert sqlalchemy_url(scheme + rest) == "postgresql+asyncpg://" + rest
    assert asyncpg_dsn(scheme + rest) == "postgresql://" + rest


def test_another_database_is_refused() -> None:
    with pytest.raises(ValueError, match="DATABASE_URL"):
        sqlalchemy_url("mysql://host/db")
