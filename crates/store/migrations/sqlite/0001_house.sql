-- Tenants, people, tokens, secrets, jobs, schedules. Times are epoch milliseconds. The tenant comes first in every key.

CREATE TABLE installation (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    kind TEXT NOT NULL,                -- 'serve' or 'demo': one never opens the other's data
    setup_token_hash TEXT,             -- of the set-up token printed on the console; null once set-up is closed
    setup_closed_at BIGINT,            -- set with the first admin, never cleared
    created_at BIGINT NOT NULL
);

CREATE TABLE tenants (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE users (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    disabled_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

-- Before the tenant is known: which account an e-mail address names, and what a session or token stands for.
CREATE TABLE user_logins (
    email_key TEXT PRIMARY KEY,        -- lower case; unique over all tenants
    tenant_id BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE login_throttle (
    key_hash TEXT PRIMARY KEY,         -- of the account or the address, with its kind
    failures BIGINT NOT NULL,
    window_started_at BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL
);

CREATE TABLE sessions (
    token_hash TEXT PRIMARY KEY,       -- SHA-256 of the cookie's value
    id TEXT NOT NULL,
    tenant_id BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    user_agent TEXT,
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX sessions_by_user ON sessions (tenant_id, user_id);

CREATE TABLE api_tokens (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    permissions TEXT NOT NULL,         -- JSON list of names
    last_four TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE TABLE api_token_hashes (
    token_hash TEXT PRIMARY KEY,       -- SHA-256
    tenant_id BIGINT NOT NULL,
    token_id TEXT NOT NULL,
    last_used_at BIGINT,
    FOREIGN KEY (tenant_id, token_id) REFERENCES api_tokens (tenant_id, id) ON DELETE CASCADE
);

-- Data keys wrapped by the root key, which is never in the database.
CREATE TABLE data_keys (
    version BIGINT PRIMARY KEY,
    wrapped BLOB NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE secrets (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    owner_table TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    name TEXT NOT NULL,
    key_version BIGINT NOT NULL REFERENCES data_keys (version),
    sealed BLOB NOT NULL,            -- nonce and ciphertext; tenant, table, row, name and key version are bound
    last_four TEXT,                    -- null where the value is short or its end would say too much
    expires_at BIGINT,
    set_at BIGINT NOT NULL,
    set_by TEXT NOT NULL,
    PRIMARY KEY (tenant_id, owner_table, owner_id, name)
);

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    tenant_id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    dedup_key TEXT,                    -- among jobs that wait: a second one with the same key is not queued
    group_key TEXT,                    -- at most one job of a group runs at a time
    payload TEXT NOT NULL,             -- JSON: ids only
    state TEXT NOT NULL,               -- 'ready', 'leased', 'dead'
    priority BIGINT NOT NULL,          -- lower runs first
    run_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    lease_owner TEXT,
    lease_until BIGINT,
    last_error TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX jobs_by_state ON jobs (state, run_at);
CREATE INDEX jobs_by_group ON jobs (group_key, state);
CREATE UNIQUE INDEX jobs_dedup ON jobs (dedup_key) WHERE dedup_key IS NOT NULL AND state = 'ready';
CREATE UNIQUE INDEX jobs_one_per_group ON jobs (group_key) WHERE group_key IS NOT NULL AND state = 'leased';

CREATE TABLE schedules (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    owner_id TEXT NOT NULL,            -- the integration
    kind TEXT NOT NULL,
    next_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, owner_id, kind)
);
CREATE INDEX schedules_due ON schedules (next_at);
