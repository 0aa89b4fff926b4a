"""Settings and named leases, and the sweep of what has served its time."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from pydantic import JsonValue
from sqlalchemy.dialects.postgresql import insert

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import idempotency_keys, leases, settings
from orchestrator_api.errors import Refused
from orchestrator_api.repositories.rows import audited, one_or_none, to_contract
from orchestrator_api.tokens import Caller
from shared.contracts.dto.accounts import LeaseClaim, LeaseDTO, LeaseRelease, LeaseRenew, SettingDTO

KEYS_LIVE = timedelta(days=7)


async def get_setting(database: Database, name: str) -> SettingDTO:
    """Return the setting; one that nobody has set is null."""
    async with database.read() as connection:
        row = await one_or_none(connection, settings, settings.c.name == name)
    return SettingDTO(name=name, value=None) if row is None else to_contract(SettingDTO, row)


async def put_setting(database: Database, caller: Caller, name: str, value: JsonValue) -> SettingDTO:
    """Write the setting."""
    stored = sa.cast(value, settings.c.value.type) if value is not None else sa.text("'null'::jsonb")
    statement = insert(settings).values(name=name, value=stored)
    statement = statement.on_conflict_do_update(
        index_elements=[settings.c.name],
        set_={"value": statement.excluded.value, "updated_at": sa.func.clock_timestamp()},
    )
    async with database.write() as connection:
        row = (await connection.execute(statement.returning(settings))).mappings().one()
        await audited(connection, caller, "setting.put", name)
    return to_contract(SettingDTO, row)


def _expiry(ttl_seconds: float) -> sa.ColumnElement[object]:
    return sa.func.clock_timestamp() + sa.func.make_interval(0, 0, 0, 0, 0, 0, ttl_seconds)


async def claim_lease(database: Database, name: str, body: LeaseClaim) -> LeaseDTO:
    """Take a lease that is free, expired or one's own; the fence rises each time."""
    statement = insert(leases).values(name=name, owner=body.owner, fence=1, expires_at=_expiry(body.ttl_seconds))
    statement = statement.on_conflict_do_update(
        index_elements=[leases.c.name],
        set_={
            "owner": statement.excluded.owner,
            "fence": leases.c.fence + 1,
            "expires_at": statement.excluded.expires_at,
        },
        where=sa.or_(leases.c.owner == body.owner, leases.c.expires_at <= sa.func.clock_timestamp()),
    )
    async with database.read() as connection:
        row = (await connection.execute(statement.returning(leases))).mappings().one_or_none()
        if row is None:
            held = await one_or_none(connection, leases, leases.c.name == name)
            raise Refused("lease_held", f"{held['owner'] if held else 'somebody'} holds the lease {name}")
    return to_contract(LeaseDTO, row)


async def renew_lease(database: Database, name: str, body: LeaseRenew) -> LeaseDTO:
    """Extend one's own lease; Refused when somebody has claimed it since."""
    statement = (
        sa.update(leases)
        .where(leases.c.name == name, leases.c.owner == body.owner, leases.c.fence == body.fence)
        .values(expires_at=_expiry(body.ttl_seconds))
        .returning(leases)
    )
    async with database.read() as connection:
        row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise _stale(name, body.fence)
    return to_contract(LeaseDTO, row)


async def release_lease(database: Database, name: str, body: LeaseRelease) -> None:
    """Give a lease back; the row stays, so that fences keep rising. A repeat changes nothing."""
    mine = sa.or_(leases.c.owner == body.owner, leases.c.owner == "")
    statement = (
        sa.update(leases)
        .where(leases.c.name == name, leases.c.fence == body.fence, mine)
        .values(owner="", expires_at=sa.func.clock_timestamp())
        .returning(leases.c.name)
    )
    async with database.read() as connection:
        if (await connection.execute(statement)).first() is None:
            raise _stale(name, body.fence)


def _stale(name: str, fence: int) -> Refused:
    return Refused("stale_fence", f"fence {fence} of the lease {name} is not the current one")


async def forget_old_keys(database: Database) -> None:
    """Delete idempotency keys nobody repeats any more."""
    old = idempotency_keys.c.created_at < sa.func.now() - KEYS_LIVE
    async with database.read() as connection:
        await connection.execute(sa.delete(idempotency_keys).where(old))
