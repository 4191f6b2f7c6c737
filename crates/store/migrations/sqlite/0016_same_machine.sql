-- The same machine in two RMMs, or twice in one: what tells it, what people answered, and assets with several devices.

-- What a device is known by. The list and the detail together; the list shows what the detail completes.
ALTER TABLE rmm_devices ADD COLUMN serial_key TEXT;        -- domain::asset::serial_key
ALTER TABLE rmm_devices ADD COLUMN completing TEXT;        -- JSON: what of the detail the list lacks; null for most
ALTER TABLE rmm_devices ADD COLUMN match_due_at BIGINT;    -- when to look for the same machine elsewhere; null: nothing new
UPDATE rmm_devices SET match_due_at = 0, serial_key = (SELECT a.serial_key FROM assets a
    WHERE a.tenant_id = rmm_devices.tenant_id AND a.primary_device_id = rmm_devices.id);
DROP INDEX assets_by_serial;
CREATE INDEX devices_by_serial ON rmm_devices (tenant_id, serial_key, integration_id) WHERE serial_key IS NOT NULL;
CREATE INDEX devices_match_due ON rmm_devices (tenant_id, integration_id, match_due_at) WHERE match_due_at IS NOT NULL;

-- Hardware addresses that may tell a machine: none that many machines carry by nature (docks, virtual adapters).
CREATE TABLE device_macs (
    tenant_id BIGINT NOT NULL,
    mac TEXT NOT NULL,
    device_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, mac, device_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES rmm_devices (tenant_id, id)
);
INSERT INTO device_macs (tenant_id, mac, device_id)
    SELECT DISTINCT d.tenant_id, m.value, d.id FROM rmm_devices d, json_each(d.detail, '$.macs') m
    WHERE d.detail IS NOT NULL AND length(m.value) = 17 AND substr(m.value, 2, 1) IN ('0', '4', '8', 'c')
    AND m.value NOT LIKE '00:ff:%' AND substr(m.value, 1, 8) NOT IN ('00:00:00', '00:05:69', '00:05:9a', '00:09:0f',
        '00:0c:29', '00:15:5d', '00:16:3e', '00:1c:14', '00:1c:42', '00:50:56', '08:00:27', '20:41:53', '50:50:54');
CREATE INDEX device_macs_by_device ON device_macs (tenant_id, device_id, mac);

-- Assets with several devices. The status of `device_presence` is that of its own device from here on.
ALTER TABLE assets ADD COLUMN sources BIGINT NOT NULL DEFAULT 1;             -- how many devices it has
ALTER TABLE assets ADD COLUMN presence_device_id TEXT NOT NULL DEFAULT '';   -- the device that speaks for status and last seen
ALTER TABLE assets ADD COLUMN field_sources TEXT NOT NULL DEFAULT '{}';      -- JSON: field → device that a person chose
UPDATE assets SET presence_device_id = primary_device_id;
CREATE INDEX assets_by_presence ON assets (tenant_id, presence_device_id);
CREATE INDEX assets_shared ON assets (tenant_id, client_id, id) WHERE sources > 1;
DROP INDEX assets_by_client;
CREATE INDEX assets_by_client
    ON assets (tenant_id, client_id, name_key, id, status, asset_type, os, created_at, presence_device_id);

-- Beside `asset_counts`, which counts an asset once, by the RMM of its leading device: the other RMMs it is in.
CREATE TABLE asset_other_counts (
    tenant_id BIGINT NOT NULL,
    client_id TEXT NOT NULL,
    rmm_provider TEXT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, client_id, rmm_provider)
);

-- An asset that was merged into another, with what it takes to undo that.
CREATE TABLE asset_merges (
    tenant_id BIGINT NOT NULL,
    asset_id TEXT NOT NULL,            -- the one that is no more
    into_asset_id TEXT NOT NULL,       -- the one it was merged into, which may itself be no more
    kept_asset_id TEXT NOT NULL,       -- the one that it is part of now
    devices TEXT NOT NULL,             -- JSON: its devices
    primary_device_id TEXT NOT NULL,   -- the one that led it
    kept_device_id TEXT NOT NULL,      -- the one that led the other before
    client_id TEXT NOT NULL,
    site_id TEXT,
    name TEXT NOT NULL,
    asset_type TEXT NOT NULL,
    locked TEXT NOT NULL,
    note TEXT,
    field_sources TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    merged_at BIGINT NOT NULL,
    merged_by TEXT NOT NULL,
    PRIMARY KEY (tenant_id, asset_id),
    FOREIGN KEY (tenant_id, kept_asset_id) REFERENCES assets (tenant_id, id)
);
CREATE INDEX asset_merges_by_kept ON asset_merges (tenant_id, kept_asset_id);

-- Questions are about devices: assets come and go with merges and splits.
CREATE TABLE asset_proposals_of_devices (
    tenant_id BIGINT NOT NULL,
    id TEXT NOT NULL,
    device_id TEXT NOT NULL,           -- the one with the greater id: the newer one
    other_device_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    evidence TEXT NOT NULL,            -- JSON: why, one by one
    score BIGINT NOT NULL,
    state TEXT NOT NULL,               -- 'open', 'merged', 'keep_both', 'never', 'withdrawn'
    created_at BIGINT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, device_id, other_device_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES rmm_devices (tenant_id, id),
    FOREIGN KEY (tenant_id, other_device_id) REFERENCES rmm_devices (tenant_id, id)
);
INSERT INTO asset_proposals_of_devices
    SELECT p.tenant_id, p.id,
        CASE WHEN a.primary_device_id > o.primary_device_id THEN a.primary_device_id ELSE o.primary_device_id END,
        CASE WHEN a.primary_device_id > o.primary_device_id THEN o.primary_device_id ELSE a.primary_device_id END,
        p.reason, '[]', p.score, CASE WHEN p.state = 'dismissed' THEN 'keep_both' ELSE p.state END,
        p.created_at, p.decided_at, p.decided_by
    FROM asset_proposals p
    JOIN assets a ON a.tenant_id = p.tenant_id AND a.id = p.asset_id
    JOIN assets o ON o.tenant_id = p.tenant_id AND o.id = p.other_asset_id
    WHERE NOT EXISTS (SELECT 1 FROM asset_proposals e WHERE e.tenant_id = p.tenant_id
        AND e.asset_id = p.other_asset_id AND e.other_asset_id = p.asset_id AND e.id < p.id);
DROP TABLE asset_proposals;
ALTER TABLE asset_proposals_of_devices RENAME TO asset_proposals;
CREATE INDEX proposals_by_other ON asset_proposals (tenant_id, other_device_id);
CREATE INDEX proposals_open ON asset_proposals (tenant_id, created_at, id) WHERE state = 'open';
