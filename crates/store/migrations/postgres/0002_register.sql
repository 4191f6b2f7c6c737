-- Clients, integrations, organizations, devices, assets and what happens to them.

CREATE TABLE clients (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    archived_at BIGINT,
    merged_into TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, merged_into) REFERENCES clients (tenant_id, id)
);
CREATE UNIQUE INDEX clients_live_names ON clients (tenant_id, name_key) WHERE archived_at IS NULL;
CREATE INDEX clients_by_name ON clients (tenant_id, name_key, id);

CREATE TABLE client_sites (
    tenant_id BIGINT NOT NULL,
    id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, client_id, name_key),
    FOREIGN KEY (tenant_id, client_id) REFERENCES clients (tenant_id, id)
);

CREATE TABLE rmm_integrations (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    provider TEXT NOT NULL,
    name TEXT NOT NULL,
    instance_url TEXT NOT NULL,
    auth_mode TEXT NOT NULL,
    is_active BOOLEAN NOT NULL,
    state TEXT NOT NULL,               -- where the connection stands
    problem TEXT,                      -- JSON: the sentence of the last failure
    settings TEXT NOT NULL,            -- JSON
    last_check TEXT,                   -- JSON: report of the last test
    last_check_at BIGINT,
    account TEXT,
    token_expires_at BIGINT,
    last_organization_sync_at BIGINT,
    last_device_sync_at BIGINT,
    last_presence_at BIGINT,
    last_detail_at BIGINT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    connected_at BIGINT,
    disconnected_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE rmm_organization_mappings (
    tenant_id BIGINT NOT NULL,
    id TEXT NOT NULL,
    integration_id TEXT NOT NULL,
    external_id TEXT NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    sites TEXT NOT NULL,               -- JSON
    device_count BIGINT,               -- as the provider counts
    state TEXT NOT NULL,               -- 'unmapped', 'mapped', 'excluded'
    client_id TEXT,
    auto_sync BOOLEAN NOT NULL,
    previous TEXT,                     -- JSON: state, client and Auto-sync before the last change, for undo
    vanished_at BIGINT,                -- not in the provider's list since
    observed_at BIGINT,                -- last complete look at its devices
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, integration_id, external_id),
    FOREIGN KEY (tenant_id, integration_id) REFERENCES rmm_integrations (tenant_id, id),
    FOREIGN KEY (tenant_id, client_id) REFERENCES clients (tenant_id, id),
    CHECK ((state = 'mapped') = (client_id IS NOT NULL))
);
CREATE INDEX organizations_by_client ON rmm_organization_mappings (tenant_id, client_id);

CREATE TABLE assets (
    row_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,                   -- ties the text index to the row
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    site_id TEXT,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    asset_type TEXT NOT NULL,
    os TEXT NOT NULL,                  -- '' where unknown, so that it sorts
    status TEXT NOT NULL,              -- shown status; moved by looks and by the clock
    needs_reboot BOOLEAN NOT NULL,
    serial_key TEXT,
    search_text TEXT NOT NULL,         -- lower case: names, serial, addresses, model
    rmm_provider TEXT NOT NULL,        -- the tag: provider, the provider's device id and organization id
    rmm_integration_id TEXT NOT NULL,
    rmm_device_id TEXT NOT NULL,
    rmm_organization_id TEXT NOT NULL,
    primary_device_id TEXT NOT NULL,   -- the device whose facts and presence lead
    locked TEXT NOT NULL,              -- JSON: names of fields a person set; a sync leaves them alone
    note TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, client_id) REFERENCES clients (tenant_id, id),
    FOREIGN KEY (tenant_id, site_id) REFERENCES client_sites (tenant_id, id)
);
CREATE INDEX assets_by_name ON assets (tenant_id, name_key, id);
CREATE INDEX assets_by_client ON assets (tenant_id, client_id, name_key, id);
CREATE INDEX assets_by_type ON assets (tenant_id, asset_type, name_key, id);
CREATE INDEX assets_by_os ON assets (tenant_id, os, name_key, id);
CREATE INDEX assets_by_status ON assets (tenant_id, status, name_key, id);
CREATE INDEX assets_by_created ON assets (tenant_id, created_at, id);
CREATE UNIQUE INDEX assets_by_device ON assets (tenant_id, primary_device_id);
CREATE INDEX assets_by_serial ON assets (tenant_id, serial_key) WHERE serial_key IS NOT NULL;
CREATE INDEX assets_reboot ON assets (tenant_id, name_key, id) WHERE needs_reboot;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX asset_search ON assets USING gin (search_text gin_trgm_ops);

CREATE TABLE rmm_devices (
    tenant_id BIGINT NOT NULL,
    id TEXT NOT NULL,
    integration_id TEXT NOT NULL,
    external_id TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    asset_id TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    facts TEXT NOT NULL,               -- JSON of domain::device::DeviceFacts
    facts_at BIGINT NOT NULL,          -- when the facts last changed
    detail TEXT,                       -- JSON of domain::device::DeviceDetail
    detail_at BIGINT,                  -- last successful detail look
    detail_due_at BIGINT NOT NULL,     -- when the next detail look may happen
    absent_passes BIGINT NOT NULL,     -- complete passes without it, in a row
    absent_since BIGINT,               -- time of the first of them
    missing_since BIGINT,              -- marked missing: not seen since
    missing_note TEXT,                 -- where it went, if it went to an organization that is not synced
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, integration_id, external_id),
    FOREIGN KEY (tenant_id, organization_id) REFERENCES rmm_organization_mappings (tenant_id, id),
    FOREIGN KEY (tenant_id, asset_id) REFERENCES assets (tenant_id, id)
);
CREATE INDEX devices_by_organization ON rmm_devices (tenant_id, organization_id);
CREATE INDEX devices_by_asset ON rmm_devices (tenant_id, asset_id);
CREATE INDEX devices_missing ON rmm_devices (tenant_id, missing_since) WHERE missing_since IS NOT NULL;
CREATE INDEX devices_absent ON rmm_devices (tenant_id, integration_id) WHERE absent_passes > 0 AND missing_since IS NULL;
CREATE INDEX devices_detail_due ON rmm_devices (tenant_id, integration_id, detail_due_at);

CREATE TABLE tenant_external_entity_mappings (
    tenant_id BIGINT NOT NULL,
    integration_type TEXT NOT NULL,    -- the provider's id
    integration_id TEXT NOT NULL,
    entity_type TEXT NOT NULL,         -- 'asset'
    external_id TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, integration_id, entity_type, external_id),
    FOREIGN KEY (tenant_id, entity_id) REFERENCES assets (tenant_id, id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES rmm_devices (tenant_id, id)
);
CREATE INDEX entity_mappings_by_entity ON tenant_external_entity_mappings (tenant_id, entity_id);

CREATE TABLE device_presence (
    tenant_id BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    last_seen BIGINT NOT NULL,         -- 0: never
    vendor_status TEXT,
    booted_at BIGINT,
    user_name TEXT,
    user_is_current BOOLEAN NOT NULL,
    offline_minutes BIGINT,            -- the device's own thresholds, once known
    overdue_minutes BIGINT,
    overdue_at BIGINT,                 -- when silence makes it overdue
    PRIMARY KEY (tenant_id, device_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES rmm_devices (tenant_id, id)
);
CREATE INDEX presence_by_last_seen ON device_presence (tenant_id, last_seen, device_id);

CREATE TABLE device_payloads (
    tenant_id BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    payload BYTEA NOT NULL,           -- the provider's row as it came, LZ4 with the size in front
    stored_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, device_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES rmm_devices (tenant_id, id)
);

CREATE TABLE asset_counts (
    tenant_id BIGINT NOT NULL,
    client_id TEXT NOT NULL,
    rmm_provider TEXT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, client_id, rmm_provider)
);

CREATE TABLE asset_proposals (
    tenant_id BIGINT NOT NULL,
    id TEXT NOT NULL,
    asset_id TEXT NOT NULL,            -- the newer one
    other_asset_id TEXT NOT NULL,      -- the older one
    reason TEXT NOT NULL,
    score BIGINT NOT NULL,
    state TEXT NOT NULL,               -- 'open', 'dismissed'
    created_at BIGINT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, asset_id, other_asset_id),
    FOREIGN KEY (tenant_id, asset_id) REFERENCES assets (tenant_id, id),
    FOREIGN KEY (tenant_id, other_asset_id) REFERENCES assets (tenant_id, id)
);

-- What happened, in order of commit: the history of assets and the source of live updates.
CREATE TABLE events (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,                -- 'asset_created', 'asset_moved', 'status_changed' …
    subject_id TEXT NOT NULL,
    integration_id TEXT,
    run_id TEXT,
    data TEXT                          -- JSON, small: what changed
);
CREATE INDEX events_by_tenant ON events (tenant_id, seq);
CREATE INDEX events_by_subject ON events (tenant_id, subject_id, seq);

CREATE TABLE sync_runs (
    tenant_id BIGINT NOT NULL,
    id TEXT NOT NULL,
    integration_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    preview BOOLEAN NOT NULL,
    requested_by TEXT NOT NULL,
    stage TEXT NOT NULL,
    done BIGINT NOT NULL,
    total BIGINT,
    cursor_state TEXT,                 -- JSON: where to go on after a crash
    counts TEXT NOT NULL,              -- JSON of domain::sync::RunCounts
    problem TEXT,                      -- JSON: the sentence that stopped it
    cancel_requested BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, integration_id) REFERENCES rmm_integrations (tenant_id, id)
);
CREATE INDEX sync_runs_by_integration ON sync_runs (tenant_id, integration_id, kind, created_at, id);
CREATE INDEX sync_runs_by_time ON sync_runs (tenant_id, created_at, id);
CREATE UNIQUE INDEX sync_runs_one_waiting ON sync_runs (tenant_id, integration_id, kind)
    WHERE state IN ('queued', 'running');

CREATE TABLE sync_run_items (
    tenant_id BIGINT NOT NULL,
    run_id TEXT NOT NULL,
    n BIGINT NOT NULL,
    action TEXT NOT NULL,              -- 'failed', and in a preview 'created', 'updated', 'moved', 'missing'
    external_id TEXT,
    name TEXT,
    message TEXT NOT NULL,
    PRIMARY KEY (tenant_id, run_id, n),
    FOREIGN KEY (tenant_id, run_id) REFERENCES sync_runs (tenant_id, id)
);
