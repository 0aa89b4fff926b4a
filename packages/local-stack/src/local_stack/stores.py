"""The embedded stores: real PostgreSQL and Redis binaries from wheels, on loopback, with passwords."""

from __future__ import annotations

import asyncio

import psycopg
from psycopg import sql

from local_stack.children import ChildSpec
from local_stack.plan import STORE_STOP_SIGNAL, StackPlan
from shared.runtime.embedded_postgres import EmbeddedPostgres
from shared.runtime.embedded_redis import EmbeddedRedis

DATABASE = "orchestrator"
ROLES = ("orchestrator", "checkpoints")
READY_SECONDS = 30.0


class Stores:
    """Builds the two child specs and makes the databases and roles inside."""

    def __init__(self, plan: StackPlan) -> None:
        self._plan = plan
        password = plan.credentials
        self._postgres = EmbeddedPostgres(plan.layout.postgres, plan.ports.postgres, password.postgres_password)
        self._redis = EmbeddedRedis(plan.layout.redis, plan.ports.redis, password.redis_password)

    async def specs(self) -> list[ChildSpec]:
        """Prepare the data directories (initdb at the first start) and return what to run."""
        await asyncio.gather(asyncio.to_thread(self._postgres.prepare), asyncio.to_thread(self._redis.prepare))
        environment = self._plan.base_env()
        return [
            ChildSpec(
                name="postgres",
                command=tuple(self._postgres.command()),
                env=environment,
                run_as=self._postgres.run_as,
                stop_signal=STORE_STOP_SIGNAL,
                stop_order=4,
                is_service=False,
                port=self._plan.ports.postgres,
            ),
            ChildSpec(
                name="redis",
                command=tuple(self._redis.command()),
                env=environment,
                run_as=self._redis.run_as,
                stop_order=4,
                is_service=False,
                port=self._plan.ports.redis,
            ),
        ]

    async def ensure_databases(self) -> None:
        """Wait for both stores, then make the database and its roles where they are missing."""
        await asyncio.gather(self._postgres.wait_ready(READY_SECONDS), self._redis.wait_ready(READY_SECONDS))
        password = self._plan.credentials.postgres_password
        async with await psycopg.AsyncConnection.connect(self._postgres.dsn(), autocommit=True) as connection:
            for role in ROLES:
                found = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
                if await found.fetchone() is None:
                    await connection.execute(
                        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
                    )
            found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if await found.fetchone() is None:
                await connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER orchestrator").format(sql.Identifier(DATABASE))
                )
            await connection.execute(
                sql.SQL("GRANT CREATE ON DATABASE {} TO checkpoints").format(sql.Identifier(DATABASE))
            )
