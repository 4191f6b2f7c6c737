-- Who did what. A row is written with the act and never changed; within a second it gets its place in the tenant's chain.

CREATE TABLE audit_log (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    at BIGINT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    user_id TEXT,                      -- stays when the user is gone
    token_id TEXT,
    request_id TEXT NOT NULL,
    act TEXT NOT NULL,
    target TEXT,                       -- id with its prefix
    target_name TEXT,
    outcome TEXT NOT NULL,
    rule TEXT,
    arguments TEXT NOT NULL,           -- JSON without secrets
    arguments_digest TEXT NOT NULL,
    mac TEXT NOT NULL,                 -- HMAC of all columns above, hexadecimal
    seq BIGINT,                        -- from 1; with the next two set by the sealer
    previous TEXT,                     -- hash of the row before
    hash TEXT,                         -- hash of previous, seq and mac
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX audit_log_by_seq ON audit_log (tenant_id, seq) WHERE seq IS NOT NULL;
CREATE UNIQUE INDEX audit_log_by_previous ON audit_log (tenant_id, previous) WHERE previous IS NOT NULL;
CREATE INDEX audit_log_unsealed ON audit_log (tenant_id, id) WHERE seq IS NULL;
CREATE INDEX audit_log_by_target ON audit_log (tenant_id, target, id);
CREATE INDEX audit_log_by_user ON audit_log (tenant_id, user_id, id);

-- The head of the chain, signed. What counts for a check is the copy outside; this one says when the last was made.
CREATE TABLE audit_checkpoints (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    at BIGINT NOT NULL,
    public_key TEXT NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);
