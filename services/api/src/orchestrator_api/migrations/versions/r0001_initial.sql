CREATE TABLE audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    owner_id TEXT,
    actor_kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT DEFAULT '' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (id)
);

CREATE INDEX ix_audit_object ON audit (object);

CREATE TABLE chat_messages (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    user_id TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    chat_id BIGINT NOT NULL,
    direction TEXT NOT NULL,
    dedupe_key TEXT NOT NULL,
    text TEXT DEFAULT '' NOT NULL,
    update_id BIGINT,
    telegram_message_id BIGINT,
    state TEXT NOT NULL,
    request_id TEXT,
    worker_id TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_chat_messages PRIMARY KEY (id),
    CONSTRAINT uq_chat_messages_dedupe_key UNIQUE (dedupe_key)
);

CREATE INDEX ix_chat_messages_request_id ON chat_messages (request_id);

CREATE INDEX ix_chat_messages_state_id ON chat_messages (state, id);

CREATE INDEX ix_chat_messages_user_id_id ON chat_messages (user_id, id);

CREATE TABLE dead_letters (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    stream TEXT NOT NULL,
    "group" TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    error TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    service TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_dead_letters PRIMARY KEY (id),
    CONSTRAINT uq_dead_letters_stream_entry_id_group UNIQUE (stream, entry_id, "group")
);

CREATE TABLE idempotency_keys (
    tenant TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    answer TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (tenant, route, key)
);

CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);

CREATE TABLE incidents (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    key TEXT NOT NULL,
    server_handle TEXT,
    severity TEXT NOT NULL,
    title TEXT NOT NULL,
    detail TEXT DEFAULT '' NOT NULL,
    status TEXT DEFAULT 'open' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_incidents PRIMARY KEY (id)
);

CREATE UNIQUE INDEX uq_incidents_open_key ON incidents (key) WHERE status = 'open';

CREATE TABLE leases (
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    fence BIGINT DEFAULT '0' NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_leases PRIMARY KEY (name)
);

CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    run_id TEXT,
    owner_id TEXT,
    stream TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_outbox PRIMARY KEY (id)
);

CREATE INDEX ix_outbox_unpublished ON outbox (id) WHERE published_at IS NULL;

CREATE TABLE projects (
    id TEXT NOT NULL,
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    owner_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    modules TEXT[] NOT NULL,
    status TEXT DEFAULT 'draft' NOT NULL,
    repo_full_name TEXT,
    repo_url TEXT,
    default_branch TEXT DEFAULT 'main' NOT NULL,
    files JSONB DEFAULT '[]'::jsonb NOT NULL,
    deployed_url TEXT,
    deployed_sha TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_projects PRIMARY KEY (id),
    CONSTRAINT uq_projects_owner_id_name UNIQUE (owner_id, name),
    CONSTRAINT uq_projects_number UNIQUE (number)
);

CREATE TABLE servers (
    handle TEXT NOT NULL,
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    host TEXT NOT NULL,
    is_embedded BOOLEAN DEFAULT false NOT NULL,
    deploy_url TEXT,
    port_range_start INTEGER NOT NULL,
    port_range_end INTEGER NOT NULL,
    status TEXT NOT NULL,
    last_error TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_servers PRIMARY KEY (handle),
    CONSTRAINT uq_servers_number UNIQUE (number)
);

CREATE TABLE settings (
    name TEXT NOT NULL,
    value JSONB NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_settings PRIMARY KEY (name)
);

CREATE TABLE task_executions (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    request_id TEXT NOT NULL,
    attempt BIGINT DEFAULT '1' NOT NULL,
    stage TEXT NOT NULL,
    agent_type TEXT NOT NULL,
    run_id TEXT,
    task_id TEXT,
    project_id TEXT,
    owner_id TEXT,
    worker_id TEXT,
    status TEXT NOT NULL,
    input_tokens BIGINT DEFAULT '0' NOT NULL,
    output_tokens BIGINT DEFAULT '0' NOT NULL,
    cache_read_tokens BIGINT DEFAULT '0' NOT NULL,
    cache_write_tokens BIGINT DEFAULT '0' NOT NULL,
    cost_usd DOUBLE PRECISION DEFAULT '0' NOT NULL,
    turns BIGINT DEFAULT '0' NOT NULL,
    duration_ms BIGINT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_task_executions PRIMARY KEY (id),
    CONSTRAINT uq_task_executions_request_id_attempt UNIQUE (request_id, attempt)
);

CREATE INDEX ix_task_executions_owner_id ON task_executions (owner_id);

CREATE INDEX ix_task_executions_project_id ON task_executions (project_id);

CREATE INDEX ix_task_executions_run_id ON task_executions (run_id);

CREATE TABLE users (
    id TEXT NOT NULL,
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    telegram_id BIGINT NOT NULL,
    name TEXT DEFAULT '' NOT NULL,
    is_admin BOOLEAN DEFAULT false NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT uq_users_number UNIQUE (number),
    CONSTRAINT uq_users_telegram_id UNIQUE (telegram_id)
);

CREATE TABLE workers (
    id TEXT NOT NULL,
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    owner_id TEXT,
    worker_type TEXT NOT NULL,
    agent_type TEXT NOT NULL,
    status TEXT NOT NULL,
    user_id TEXT,
    task_id TEXT,
    run_id TEXT,
    exit_code INTEGER,
    error TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_workers PRIMARY KEY (id),
    CONSTRAINT uq_workers_number UNIQUE (number)
);

CREATE TABLE allocations (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    project_id TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    server_handle TEXT NOT NULL,
    port INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_allocations PRIMARY KEY (id),
    CONSTRAINT uq_allocations_server_handle_port UNIQUE (server_handle, port),
    CONSTRAINT uq_allocations_project_id_server_handle UNIQUE (project_id, server_handle),
    CONSTRAINT fk_allocations_project_id FOREIGN KEY(project_id) REFERENCES projects (id),
    CONSTRAINT fk_allocations_server_handle FOREIGN KEY(server_handle) REFERENCES servers (handle)
);

CREATE TABLE tasks (
    id TEXT NOT NULL,
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    project_id TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    type TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    parent_task_id TEXT,
    status TEXT DEFAULT 'queued' NOT NULL,
    correlation_id TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_tasks PRIMARY KEY (id),
    CONSTRAINT uq_tasks_number UNIQUE (number),
    CONSTRAINT fk_tasks_project_id FOREIGN KEY(project_id) REFERENCES projects (id),
    CONSTRAINT fk_tasks_parent_task_id FOREIGN KEY(parent_task_id) REFERENCES tasks (id)
);

CREATE INDEX ix_tasks_owner_id_number ON tasks (owner_id, number);

CREATE INDEX ix_tasks_project_id_number ON tasks (project_id, number);

CREATE INDEX ix_tasks_status_number ON tasks (status, number);

CREATE TABLE runs (
    id TEXT NOT NULL,
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    task_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    version BIGINT DEFAULT '1' NOT NULL,
    reason TEXT,
    facts JSONB DEFAULT '{}'::jsonb NOT NULL,
    code_attempts BIGINT DEFAULT '0' NOT NULL,
    review_rounds BIGINT DEFAULT '0' NOT NULL,
    waiting_reason TEXT,
    waiting_until TIMESTAMP WITH TIME ZONE,
    wait_kind TEXT,
    wait_key TEXT,
    wake_at TIMESTAMP WITH TIME ZONE,
    cancel_requested BOOLEAN DEFAULT false NOT NULL,
    lease_owner TEXT,
    lease_expires_at TIMESTAMP WITH TIME ZONE,
    fence BIGINT DEFAULT '0' NOT NULL,
    last_seq BIGINT DEFAULT '0' NOT NULL,
    last_event TEXT,
    correlation_id TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_runs PRIMARY KEY (id),
    CONSTRAINT uq_runs_task_id_key UNIQUE (task_id, key),
    CONSTRAINT uq_runs_number UNIQUE (number),
    CONSTRAINT fk_runs_task_id FOREIGN KEY(task_id) REFERENCES tasks (id),
    CONSTRAINT fk_runs_project_id FOREIGN KEY(project_id) REFERENCES projects (id)
);

CREATE INDEX ix_runs_live_number ON runs (number) WHERE finished_at IS NULL;

CREATE INDEX ix_runs_owner_id_number ON runs (owner_id, number);

CREATE INDEX ix_runs_project_id_kind_number ON runs (project_id, kind, number);

CREATE TABLE deployments (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    run_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    correlation TEXT NOT NULL,
    sha TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    workflow_run_id BIGINT,
    conclusion TEXT,
    url TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_deployments PRIMARY KEY (id),
    CONSTRAINT uq_deployments_run_id_attempt UNIQUE (run_id, attempt),
    CONSTRAINT fk_deployments_run_id FOREIGN KEY(run_id) REFERENCES runs (id),
    CONSTRAINT fk_deployments_project_id FOREIGN KEY(project_id) REFERENCES projects (id),
    CONSTRAINT uq_deployments_correlation UNIQUE (correlation)
);

CREATE INDEX ix_deployments_project_id ON deployments (project_id);

CREATE TABLE evidence (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    run_id TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    sha TEXT,
    conclusion TEXT,
    url TEXT,
    detail TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_evidence PRIMARY KEY (id),
    CONSTRAINT fk_evidence_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);

CREATE UNIQUE INDEX uq_evidence_run_id_kind_sha ON evidence (run_id, kind, coalesce(sha, ''));

CREATE TABLE run_events (
    run_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    owner_id TEXT NOT NULL,
    type TEXT NOT NULL,
    key TEXT,
    ts TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    payload JSONB NOT NULL,
    CONSTRAINT pk_run_events PRIMARY KEY (run_id, seq),
    CONSTRAINT fk_run_events_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);

CREATE UNIQUE INDEX uq_run_events_run_id_key ON run_events (run_id, key) WHERE key IS NOT NULL;
