"""One DATABASE_URL in two dialects: SQLAlchemy's and asyncpg's own."""

from __future__ import annotations

_SCHEMES = ("postgresql+asyncpg://", "postgresql://", "postgres://")


def _rest(url: str) -> str:
    for scheme in _SCHEMES:
        if url.startswith(scheme):
            return url[len(scheme) :]
    raise ValueError("DATABASE_URL must begin with postgresql:// or postgresql+asyncpg://")


def sqlalchemy_url(url: str) -> str:
    """Return the URL for SQLAlchemy's asyncpg dialect."""
    return "postgresql+asyncpg://" + _rest(url)


def asyncpg_dsn(url: str) -> str:
    """Return the URL for asyncpg itself."""
    return "postgresql://" + _rest(url)
