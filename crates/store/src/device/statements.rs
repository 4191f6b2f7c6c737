//! The statements of a device sync.
//!
//! Updates go through `INSERT … ON CONFLICT` or an id list rather than `UPDATE … FROM` a JSON table where SQLite would
//! otherwise scan the whole table for every page.

use crate::sql::statements;

statements! {
    KNOWN = [
        "SELECT d.id, d.external_id, d.asset_id, d.organization_id, d.content_hash, d.absent_passes, d.listed_at, d.missing_since, \
         d.detail, d.detail_at, d.detail_as_of, a.client_id, p.status, p.last_seen, p.vendor_status, p.booted_at, p.user_name, \
         p.user_is_current, p.offline_minutes, p.overdue_minutes, a.sources, \
         CAST(CASE WHEN a.primary_device_id = d.id THEN 1 ELSE 0 END AS BIGINT) AS leads FROM ", {keys "$1"}, " AS r \
         JOIN rmm_devices d ON d.tenant_id = $2 + r._z AND d.integration_id = $3 AND d.external_id = r.value \
         JOIN device_presence p ON p.tenant_id = d.tenant_id AND p.device_id = d.id \
         JOIN assets a ON a.tenant_id = d.tenant_id AND a.id = d.asset_id"
    ];
    FACTS = [
        "SELECT d.id, d.facts FROM ", {keys "$1"}, " AS r JOIN rmm_devices d ON d.tenant_id = $2 + r._z AND d.id = r.value"
    ];
    INSERT_ASSETS = [
        "INSERT INTO assets (tenant_id, id, client_id, site_id, name, name_key, asset_type, os, status, needs_reboot, \
         serial_key, search_text, rmm_provider, rmm_integration_id, rmm_device_id, rmm_organization_id, \
         primary_device_id, presence_device_id, locked, created_at, updated_at) \
         SELECT $2, r.id, r.client_id, r.site_id, r.name, r.name_key, r.asset_type, r.os, r.status, r.needs_reboot, \
         r.serial_key, r.search_text, $3, $4, r.external_id, r.organization, r.device_id, r.device_id, '[]', \
         CAST($5 AS BIGINT), CAST($5 AS BIGINT) FROM ",
        {rows "$1" id text, device_id text, client_id text, organization text, external_id text, site_id text, name text, name_key text,
            asset_type text, os text, status text, needs_reboot boolean, serial_key text, search_text text},
        " AS r"
    ];
    INSERT_DEVICES = [
        "INSERT INTO rmm_devices (tenant_id, id, integration_id, external_id, organization_id, asset_id, content_hash, \
         facts, facts_at, detail_due_at, detail_as_of, serial_key, match_due_at, absent_passes, created_at, updated_at) \
         SELECT CAST($2 AS BIGINT), r.id, $3, r.external_id, r.organization_id, r.asset_id, r.content_hash, r.facts, CAST($4 AS BIGINT), \
         r.detail_due_at, r.detail_as_of, r.serial_key, 0, 0, CAST($4 AS BIGINT), CAST($4 AS BIGINT) FROM ",
        {rows "$1" id text, asset_id text, external_id text, organization_id text, content_hash text, facts text,
            detail_due_at bigint, detail_as_of bigint, serial_key text},
        " AS r"
    ];
    INSERT_MAPPINGS = [
        "INSERT INTO tenant_external_entity_mappings (tenant_id, integration_type, integration_id, entity_type, \
         external_id, entity_id, device_id, created_at) \
         SELECT CAST($2 AS BIGINT), $3, $4, 'asset', r.external_id, r.entity_id, r.device_id, CAST($5 AS BIGINT) FROM ",
        {rows "$1" external_id text, entity_id text, device_id text}, " AS r"
    ];
    UPDATE_ASSETS = [
        "UPDATE assets SET client_id = r.client_id, site_id = r.site_id, \
         name = CASE WHEN assets.locked LIKE '%\"name\"%' THEN assets.name ELSE r.name END, \
         name_key = CASE WHEN assets.locked LIKE '%\"name\"%' THEN assets.name_key ELSE r.name_key END, \
         asset_type = CASE WHEN assets.locked LIKE '%\"asset_type\"%' THEN assets.asset_type ELSE r.asset_type END, \
         os = r.os, needs_reboot = r.needs_reboot, serial_key = r.serial_key, \
         search_text = CASE WHEN assets.locked LIKE '%\"name\"%' THEN assets.name_key || ' ' || r.search_text \
         ELSE r.search_text END, rmm_organization_id = r.organization, updated_at = $3 FROM ",
        {rows "$1" id text, device_id text, client_id text, organization text, site_id text, name text, name_key text, asset_type text, os text,
            needs_reboot boolean, serial_key text, search_text text},
        " AS r WHERE assets.tenant_id = $2 + r._z AND assets.id = r.id AND assets.primary_device_id = r.device_id \
         AND assets.sources = 1"
    ];
    UNLIST = [
        // Where no look at the organization came to its end yet, the device was looked at when it was written.
        "UPDATE rmm_devices SET listed_at = COALESCE((SELECT o.observed_at FROM rmm_organization_mappings o \
         WHERE o.tenant_id = rmm_devices.tenant_id AND o.id = rmm_devices.organization_id), rmm_devices.updated_at) \
         WHERE tenant_id = $2 AND organization_id IN ", {list "$3"}, " AND listed_at IS NULL AND id IN ", {list "$1"}
    ];
    OLD_CLIENTS = [
        "SELECT a.client_id, r.client_id FROM ", {rows "$1" id text, device_id text, client_id text},
        " AS r JOIN assets a ON a.tenant_id = $2 + r._z AND a.id = r.id \
         WHERE a.primary_device_id = r.device_id AND a.client_id <> r.client_id", {engine "" " FOR UPDATE OF a"}
    ];
    UPDATE_DEVICES = [
        "UPDATE rmm_devices SET organization_id = r.organization_id, content_hash = r.content_hash, facts = r.facts, \
         facts_at = CASE WHEN r.content_changed THEN $3 ELSE rmm_devices.facts_at END, \
         detail_due_at = COALESCE(r.detail_due_at, rmm_devices.detail_due_at), absent_passes = 0, absent_since = NULL, \
         listed_at = NULL, serial_key = r.serial_key, \
         match_due_at = CASE WHEN r.content_changed OR rmm_devices.missing_since IS NOT NULL THEN $3 \
         ELSE rmm_devices.match_due_at END, missing_since = NULL, missing_note = NULL, updated_at = $3 FROM ",
        {rows "$1" id text, asset_id text, organization_id text, content_hash text, facts text, content_changed boolean,
            detail_due_at bigint, serial_key text},
        " AS r WHERE rmm_devices.tenant_id = $2 + r._z AND rmm_devices.id = r.id AND rmm_devices.asset_id = r.asset_id"
    ];
    RENEW_DETAIL = [
        "UPDATE rmm_devices SET detail_as_of = r.as_of, detail_due_at = $3 FROM ", {rows "$1" id text, as_of bigint},
        " AS r WHERE rmm_devices.tenant_id = $2 + r._z AND rmm_devices.id = r.id"
    ];
    // Thresholds that only the detail tells are left alone.
    UPSERT_PRESENCE = [
        "INSERT INTO device_presence (tenant_id, device_id, last_seen, vendor_status, booted_at, user_name, \
         user_is_current, offline_minutes, overdue_minutes, overdue_at, status) \
         SELECT CAST($2 AS BIGINT), r.device_id, r.last_seen, r.vendor_status, r.booted_at, r.user_name, r.user_is_current, \
         r.offline_minutes, r.overdue_minutes, r.overdue_at, COALESCE((SELECT a.status FROM assets a \
         WHERE a.tenant_id = $2 AND a.primary_device_id = r.device_id), 'offline') FROM ",
        {rows "$1" device_id text, last_seen bigint, vendor_status text, booted_at bigint, user_name text,
            user_is_current boolean, offline_minutes bigint, overdue_minutes bigint, overdue_at bigint},
        " AS r WHERE true ON CONFLICT (tenant_id, device_id) DO UPDATE SET last_seen = excluded.last_seen, \
         vendor_status = excluded.vendor_status, booted_at = excluded.booted_at, user_name = excluded.user_name, \
         user_is_current = excluded.user_is_current, overdue_at = excluded.overdue_at, \
         offline_minutes = COALESCE(excluded.offline_minutes, device_presence.offline_minutes), \
         overdue_minutes = COALESCE(excluded.overdue_minutes, device_presence.overdue_minutes)"
    ];
    UPDATE_STATUS = [
        "UPDATE assets SET status = r.status FROM ", {rows "$1" id text, status text},
        " AS r WHERE assets.tenant_id = $2 + r._z AND assets.id = r.id AND assets.sources = 1"
    ];
    // After `UPDATE_STATUS`: the same beside the time last seen.
    UPDATE_PRESENCE_STATUS = [
        "UPDATE device_presence SET status = r.status FROM ", {rows "$1" id text, status text},
        " AS r JOIN assets a ON a.tenant_id = $2 + r._z AND a.id = r.id \
         WHERE device_presence.tenant_id = $2 + r._z AND device_presence.device_id = a.presence_device_id"
    ];
    UPSERT_PAYLOADS = [
        "INSERT INTO device_payloads (tenant_id, device_id, payload, stored_at) \
         SELECT CAST($2 AS BIGINT), r.device_id, substr(", {engine "$3" "CAST($3 AS BYTEA)"}, ", CAST(r.at AS INT), CAST(r.len AS INT)), CAST($4 AS BIGINT) FROM ",
        {rows "$1" device_id text, at bigint, len bigint},
        " AS r WHERE true ON CONFLICT (tenant_id, device_id) DO UPDATE SET payload = excluded.payload, \
         stored_at = excluded.stored_at"
    ];
    PAYLOAD = ["SELECT payload FROM device_payloads WHERE tenant_id = $1 AND device_id = $2"];
    COUNT_ASSETS = [
        "INSERT INTO asset_counts (tenant_id, client_id, rmm_provider, n) \
         SELECT $2, r.client_id, r.provider, SUM(r.n) FROM ", {rows "$1" client_id text, provider text, n bigint},
        " AS r WHERE true GROUP BY r.client_id, r.provider ORDER BY r.client_id, r.provider \
         ON CONFLICT (tenant_id, client_id, rmm_provider) DO UPDATE SET n = asset_counts.n + excluded.n"
    ];
    INDEX_TEXT = [{engine
        "INSERT INTO asset_search (rowid, text) SELECT a.row_id, a.search_text FROM (SELECT value, key * 0 AS _z FROM json_each($1)) \
         AS r JOIN assets a ON a.tenant_id = $2 + r._z AND a.id = r.value"
        "SELECT $1 || CAST(CAST($2 AS BIGINT) AS TEXT)"}
    ];
    UNINDEX_TEXT = [{engine
        "DELETE FROM asset_search WHERE rowid IN (SELECT a.row_id FROM (SELECT value, key * 0 AS _z FROM json_each($1)) AS r \
         JOIN assets a ON a.tenant_id = $2 + r._z AND a.id = r.value)"
        "SELECT $1 || CAST(CAST($2 AS BIGINT) AS TEXT)"}
    ];
    COUNT_PRESENT = [
        "SELECT COUNT(*) FROM rmm_devices WHERE tenant_id = $1 AND integration_id = $2 AND missing_since IS NULL"
    ];
}
