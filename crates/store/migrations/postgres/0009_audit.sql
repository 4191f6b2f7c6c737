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

SELECT fleetgate_protect('audit_log');
SELECT fleetgate_protect('audit_checkpoints');

-- The role that serves adds rows and gives them their place; it cannot change or remove what was done.
CREATE OR REPLACE FUNCTION fleetgate_grant(app name) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    place CONSTANT name := current_schema();
    -- Rows that stay as they are written.
    fixed CONSTANT name[] := ARRAY['_sqlx_migrations', 'audit_log', 'audit_checkpoints'];
BEGIN
    -- Two servers that start at once take turns: the catalog takes no two changes of one row at the same time.
    PERFORM pg_advisory_xact_lock(4712, 0);
    IF NOT EXISTS (
        SELECT FROM pg_class c WHERE c.relnamespace = place::regnamespace AND c.relkind IN ('r', 'p')
        AND NOT (has_table_privilege(app, c.oid, 'SELECT') AND (c.relname = ANY (fixed)
            OR has_table_privilege(app, c.oid, 'INSERT') AND has_table_privilege(app, c.oid, 'UPDATE')
            AND has_table_privilege(app, c.oid, 'DELETE')))
    ) AND NOT has_table_privilege(app, 'audit_log', 'DELETE') THEN
        RETURN;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', place, app);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO %I', place, app);
    EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I', place, app);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', place, app);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT USAGE, SELECT ON SEQUENCES TO %I', place, app);
    -- It has to see how far the tables are, and never to say so.
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON _sqlx_migrations FROM %I', app);
    EXECUTE format('REVOKE UPDATE, DELETE ON audit_log, audit_checkpoints FROM %I', app);
    EXECUTE format('GRANT UPDATE (seq, previous, hash) ON audit_log TO %I', app);
END $$;
REVOKE ALL ON FUNCTION fleetgate_grant(name) FROM PUBLIC;
