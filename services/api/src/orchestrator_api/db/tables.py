"""Every table of the api. Tenant tables carry owner_id; the migrations are written to match."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _text(name: str, *, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def _maybe(name: str) -> sa.Column[str | None]:
    return sa.Column(name, sa.Text)


def _count(name: str, default: int = 0) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=str(default))


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())


def _maybe_time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True))


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def _number() -> sa.Column[int]:
    """Return the order in which rows were made: the cursor of lists."""
    return sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True)


def _row_id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True)


def _refers(name: str, target: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, sa.ForeignKey(target), nullable=nullable)


projects = sa.Table(
    "projects",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _number(),
    _text("owner_id"),
    _text("name"),
    _text("description", default=""),
    sa.Column("modules", ARRAY(sa.Text), nullable=False),
    _text("status", default="draft"),
    _maybe("repo_full_name"),
    _maybe("repo_url"),
    _text("default_branch", default="main"),
    sa.Column("files", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
    _maybe("deployed_url"),
    _maybe("deployed_sha"),
    _time("created_at"),
    _time("updated_at"),
    sa.UniqueConstraint("owner_id", "name"),
)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _number(),
    _refers("project_id", "projects.id"),
    _text("owner_id"),
    _text("type"),
    _text("title"),
    _text("description", default=""),
    _refers("parent_task_id", "tasks.id", nullable=True),
    _text("status", default="queued"),
    _maybe("correlation_id"),
    _time("created_at"),
    _time("updated_at"),
    sa.Index("ix_tasks_project_id_number", "project_id", "number"),
    sa.Index("ix_tasks_owner_id_number", "owner_id", "number"),
    sa.Index("ix_tasks_status_number", "status", "number"),
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _number(),
    sa.Column("telegram_id", sa.BigInteger, nullable=False, unique=True),
    _text("name", default=""),
    _flag("is_admin"),
    _time("created_at"),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _number(),
    _refers("task_id", "tasks.id"),
    _refers("project_id", "projects.id"),
    _text("owner_id"),
    _text("key"),
    _text("kind"),
    _text("state"),
    _count("version", 1),
    _maybe("reason"),
    sa.Column("facts", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
    _count("code_attempts"),
    _count("review_rounds"),
    _maybe("waiting_reason"),
    _maybe_time("waiting_until"),
    _maybe("wait_kind"),
    _maybe("wait_key"),
    _maybe_time("wake_at"),
    _flag("cancel_requested"),
    _maybe("lease_owner"),
    _maybe_time("lease_expires_at"),
    _count("fence"),
    _count("last_seq"),
    _maybe("last_event"),
    _maybe("correlation_id"),
    _time("created_at"),
    _time("updated_at"),
    _maybe_time("finished_at"),
    sa.UniqueConstraint("task_id", "key"),
    sa.Index("ix_runs_owner_id_number", "owner_id", "number"),
    sa.Index("ix_runs_project_id_kind_number", "project_id", "kind", "number"),
    sa.Index("ix_runs_live_number", "number", postgresql_where=sa.text("finished_at IS NULL")),
)

run_events = sa.Table(
    "run_events",
    metadata,
    _refers("run_id", "runs.id"),
    sa.Column("seq", sa.BigInteger, nullable=False),
    _text("owner_id"),
    _text("type"),
    _maybe("key"),
    _time("ts"),
    sa.Column("payload", JSONB, nullable=False),
    sa.PrimaryKeyConstraint("run_id", "seq"),
    sa.Index("uq_run_events_run_id_key", "run_id", "key", unique=True, postgresql_where=sa.text("key IS NOT NULL")),
)

outbox = sa.Table(
    "outbox",
    metadata,
    _row_id(),
    _maybe("run_id"),
    _maybe("owner_id"),
    _text("kind", default="publish"),
    _text("stream"),
    _text("body"),
    _time("created_at"),
    _maybe_time("published_at"),
    sa.Index("ix_outbox_unpublished", "id", postgresql_where=sa.text("published_at IS NULL")),
)

evidence = sa.Table(
    "evidence",
    metadata,
    _row_id(),
    _refers("run_id", "runs.id"),
    _text("owner_id"),
    _text("kind"),
    _maybe("sha"),
    _maybe("conclusion"),
    _maybe("url"),
    _maybe("detail"),
    _time("created_at"),
    _time("updated_at"),
    sa.Index("uq_evidence_run_id_kind_sha", "run_id", "kind", sa.text("coalesce(sha, '')"), unique=True),
)

task_executions = sa.Table(
    "task_executions",
    metadata,
    _row_id(),
    _text("request_id"),
    _count("attempt", 1),
    _text("stage"),
    _text("agent_type"),
    _maybe("run_id"),
    _maybe("task_id"),
    _maybe("project_id"),
    _maybe("owner_id"),
    _maybe("worker_id"),
    _text("status"),
    _count("input_tokens"),
    _count("output_tokens"),
    _count("cache_read_tokens"),
    _count("cache_write_tokens"),
    sa.Column("cost_usd", sa.Double, nullable=False, server_default="0"),
    _count("turns"),
    sa.Column("duration_ms", sa.BigInteger),
    _time("created_at"),
    sa.UniqueConstraint("request_id", "attempt"),
    sa.Index("ix_task_executions_run_id", "run_id"),
    sa.Index("ix_task_executions_project_id", "project_id"),
    sa.Index("ix_task_executions_owner_id", "owner_id"),
)

chat_messages = sa.Table(
    "chat_messages",
    metadata,
    _row_id(),
    sa.Column("user_id", sa.Text, nullable=False),
    _text("owner_id"),
    sa.Column("chat_id", sa.BigInteger, nullable=False),
    _text("direction"),
    sa.Column("dedupe_key", sa.Text, nullable=False, unique=True),
    _text("text", default=""),
    sa.Column("update_id", sa.BigInteger),
    sa.Column("telegram_message_id", sa.BigInteger),
    _text("state"),
    _maybe("request_id"),
    _maybe("worker_id"),
    _time("created_at"),
    _time("updated_at"),
    sa.Index("ix_chat_messages_user_id_id", "user_id", "id"),
    sa.Index("ix_chat_messages_state_id", "state", "id"),
    sa.Index("ix_chat_messages_request_id", "request_id"),
)

servers = sa.Table(
    "servers",
    metadata,
    sa.Column("handle", sa.Text, primary_key=True),
    _number(),
    _text("host"),
    _flag("is_embedded"),
    _maybe("deploy_url"),
    sa.Column("port_range_start", sa.Integer, nullable=False),
    sa.Column("port_range_end", sa.Integer, nullable=False),
    _text("status"),
    _maybe("last_error"),
    _time("created_at"),
    _time("updated_at"),
)

allocations = sa.Table(
    "allocations",
    metadata,
    _row_id(),
    _refers("project_id", "projects.id"),
    _text("owner_id"),
    _refers("server_handle", "servers.handle"),
    sa.Column("port", sa.Integer, nullable=False),
    _time("created_at"),
    sa.UniqueConstraint("server_handle", "port"),
    sa.UniqueConstraint("project_id", "server_handle"),
)

deployments = sa.Table(
    "deployments",
    metadata,
    _row_id(),
    _refers("run_id", "runs.id"),
    _refers("project_id", "projects.id"),
    _text("owner_id"),
    sa.Column("correlation", sa.Text, nullable=False, unique=True),
    _text("sha"),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("workflow_run_id", sa.BigInteger),
    _maybe("conclusion"),
    _maybe("url"),
    _time("created_at"),
    _time("updated_at"),
    sa.UniqueConstraint("run_id", "attempt"),
    sa.Index("ix_deployments_project_id", "project_id"),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _number(),
    _maybe("owner_id"),
    _text("worker_type"),
    _text("agent_type"),
    _text("status"),
    _maybe("user_id"),
    _maybe("task_id"),
    _maybe("run_id"),
    sa.Column("exit_code", sa.Integer),
    _maybe("error"),
    _time("created_at"),
    _time("updated_at"),
)

incidents = sa.Table(
    "incidents",
    metadata,
    _row_id(),
    _text("key"),
    _maybe("server_handle"),
    _text("severity"),
    _text("title"),
    _text("detail", default=""),
    _text("status", default="open"),
    _time("created_at"),
    _time("updated_at"),
    sa.Index("uq_incidents_open_key", "key", unique=True, postgresql_where=sa.text("status = 'open'")),
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    _row_id(),
    _text("stream"),
    _text("group"),
    _text("entry_id"),
    _text("reason"),
    _text("error"),
    sa.Column("attempts", sa.Integer, nullable=False),
    _text("service"),
    _text("body"),
    _maybe("letter_id"),
    _text("state", default="open"),
    _maybe("outcome"),
    _time("created_at"),
    _time("updated_at"),
    sa.UniqueConstraint("stream", "entry_id", "group"),
    sa.Index("ix_dead_letters_state_id", "state", "id"),
)

settings = sa.Table(
    "settings",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", JSONB, nullable=False),
    _time("updated_at"),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _text("owner"),
    _count("fence"),
    _time("expires_at"),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    _text("body_hash"),
    _maybe("answer"),
    _time("created_at"),
    sa.PrimaryKeyConstraint("tenant", "route", "key"),
    sa.Index("ix_idempotency_keys_created_at", "created_at"),
)

audit = sa.Table(
    "audit",
    metadata,
    _row_id(),
    _maybe("owner_id"),
    _text("actor_kind"),
    _text("actor"),
    _text("action"),
    _text("object"),
    _text("detail", default=""),
    _time("created_at"),
    sa.Index("ix_audit_object", "object"),
)
