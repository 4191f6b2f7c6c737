-- Rows of a tenant are there for that tenant alone, whatever a statement asks for. `fleetgate.tenant` is set for one
-- transaction (SET LOCAL); where it is not set there are no rows, and none can be written.
--
-- A later migration that
--   * adds a table with a `tenant_id` calls `SELECT fleetgate_protect('name');` (a test reads the catalog and fails without);
--   * changes rows lifts the force for itself, because the policy holds for the owner too:
--       ALTER TABLE name NO FORCE ROW LEVEL SECURITY;
--       UPDATE name SET …;
--       ALTER TABLE name FORCE ROW LEVEL SECURITY;

CREATE FUNCTION fleetgate_protect(protected regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    -- BIGINT on both sides, so that it finds its rows by an index.
    rule CONSTANT text := 'tenant_id = NULLIF(current_setting(''fleetgate.tenant'', true), '''')::bigint';
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', protected);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', protected);
    IF EXISTS (SELECT FROM pg_policy WHERE polrelid = protected AND polname = 'tenant_rows') THEN
        EXECUTE format('DROP POLICY tenant_rows ON %s', protected);
    END IF;
    EXECUTE format('CREATE POLICY tenant_rows ON %s USING (%s) WITH CHECK (%s)', protected, rule, rule);
END $$;

-- What the role that serves may do: rows of all tables, now and later, and nothing to the tables themselves. Each start
-- with an owner calls it; where nothing is missing it changes nothing.
CREATE FUNCTION fleetgate_grant(app name) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    place CONSTANT name := current_schema();
BEGIN
    -- Two servers that start at once take turns: the catalog takes no two changes of one row at the same time.
    PERFORM pg_advisory_xact_lock(4712, 0);
    IF NOT EXISTS (
        SELECT FROM pg_class c WHERE c.relnamespace = place::regnamespace AND c.relkind IN ('r', 'p')
        AND NOT (has_table_privilege(app, c.oid, 'SELECT') AND (c.relname = '_sqlx_migrations'
            OR has_table_privilege(app, c.oid, 'INSERT') AND has_table_privilege(app, c.oid, 'UPDATE')
            AND has_table_privilege(app, c.oid, 'DELETE')))
    ) THEN
        RETURN;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', place, app);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO %I', place, app);
    EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I', place, app);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', place, app);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT USAGE, SELECT ON SEQUENCES TO %I', place, app);
    -- It has to see how far the tables are, and never to say so.
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON _sqlx_migrations FROM %I', app);
END $$;

REVOKE ALL ON FUNCTION fleetgate_protect(regclass), fleetgate_grant(name) FROM PUBLIC;

-- All but the small tables that lead to a tenant, and those that serve all tenants at once.
DO $$
DECLARE
    found regclass;
BEGIN
    FOR found IN
        SELECT c.oid FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
        AND a.attname = 'tenant_id' AND NOT a.attisdropped
        AND c.relname NOT IN ('user_logins', 'sessions', 'api_token_hashes', 'jobs', 'schedules')
    LOOP
        PERFORM fleetgate_protect(found);
    END LOOP;
END $$;
