//! The statements of site mappings.

use crate::sql::statements;

statements! {
    // Held, so that nobody merges or removes these sites before the page is written.
    FIND = [
        "SELECT m.organization_id, m.name_key, m.site_id FROM ", {rows "$1" organization_id text, client_id text, name_key text},
        " AS r JOIN rmm_site_mappings m ON m.tenant_id = $2 + r._z AND m.organization_id = r.organization_id \
         AND m.client_id = r.client_id AND m.name_key = r.name_key \
         ORDER BY m.organization_id, m.client_id, m.name_key", {engine "" " FOR SHARE OF m"}
    ];
    // One that is there is written as it is: so it is answered, and held.
    ENSURE = [
        "INSERT INTO client_sites (tenant_id, id, client_id, name, name_key, named_at, created_at) \
         SELECT CAST($2 AS BIGINT), r.id, r.client_id, r.name, r.name_key, r.named_at, CAST($3 AS BIGINT) FROM ",
        {rows "$1" id text, client_id text, name text, name_key text, named_at bigint},
        " AS r WHERE true ON CONFLICT (tenant_id, client_id, name_key) DO UPDATE SET name = client_sites.name \
         RETURNING id, client_id, name_key"
    ];
    ADD = [
        "INSERT INTO rmm_site_mappings (tenant_id, organization_id, client_id, name_key, name, external_id, site_id) \
         SELECT CAST($2 AS BIGINT), r.organization_id, r.client_id, r.name_key, r.name, r.external_id, r.site_id FROM ",
        {rows "$1" organization_id text, client_id text, name_key text, name text, external_id text, site_id text},
        " AS r"
    ];
    KNOWN = [
        "SELECT o.external_id AS organization, m.organization_id, m.client_id, m.name_key, m.name, m.external_id, \
         m.site_id FROM rmm_site_mappings m JOIN rmm_organization_mappings o ON o.tenant_id = m.tenant_id \
         AND o.id = m.organization_id WHERE m.tenant_id = $1 AND o.integration_id = $2"
    ];
    HOLD_KNOWN = [
        "SELECT o.external_id AS organization, m.organization_id, m.client_id, m.name_key, m.name, m.external_id, \
         m.site_id FROM rmm_site_mappings m JOIN rmm_organization_mappings o ON o.tenant_id = m.tenant_id \
         AND o.id = m.organization_id WHERE m.tenant_id = $1 AND o.integration_id = $2 \
         ORDER BY m.organization_id, m.client_id, m.name_key", {engine "" " FOR UPDATE OF m"}
    ];
    FORGET = [
        "DELETE FROM rmm_site_mappings WHERE tenant_id = $2 AND (organization_id, client_id) IN \
         (SELECT r.organization_id, r.client_id FROM ", {rows "$1" organization_id text, client_id text}, " AS r)"
    ];
    MOVE_ASSETS = [
        "UPDATE assets SET site_id = $3, updated_at = $5 WHERE tenant_id = $1 AND site_id = $2 \
         AND primary_device_id IN (SELECT d.id FROM rmm_devices d WHERE d.tenant_id = $1 AND d.organization_id = $4)"
    ];
    REMOVE_EMPTY = [
        "DELETE FROM client_sites WHERE tenant_id = $1 AND id = $2 AND named_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM rmm_site_mappings m WHERE m.tenant_id = client_sites.tenant_id \
           AND m.site_id = client_sites.id) \
         AND NOT EXISTS (SELECT 1 FROM assets a WHERE a.tenant_id = client_sites.tenant_id \
           AND a.site_id = client_sites.id)"
    ];
    // Sites that nobody named and whose RMM sites all bear one other name.
    WISHES = [
        "SELECT s.client_id, s.id, MIN(m.name) FROM client_sites s JOIN rmm_site_mappings m \
         ON m.tenant_id = s.tenant_id AND m.site_id = s.id JOIN rmm_organization_mappings o \
         ON o.tenant_id = m.tenant_id AND o.id = m.organization_id AND o.client_id = m.client_id \
         WHERE s.tenant_id = $1 AND s.named_at IS NULL AND s.id IN (SELECT x.site_id FROM rmm_site_mappings x \
           JOIN rmm_organization_mappings y ON y.tenant_id = x.tenant_id AND y.id = x.organization_id \
           WHERE x.tenant_id = $1 AND y.integration_id = $2) \
         GROUP BY s.client_id, s.id, s.name HAVING MIN(m.name_key) = MAX(m.name_key) \
         AND SUM(CASE WHEN m.name = s.name THEN 1 ELSE 0 END) = 0"
    ];
    NAMES = [
        "SELECT s.client_id, s.id, s.name_key FROM client_sites s WHERE s.tenant_id = $2 AND s.client_id IN ",
        {list "$1"}
    ];
    // Out of the way first, so that two may change names. The id is nobody's name.
    PARK = [
        "UPDATE client_sites SET name_key = id WHERE tenant_id = $2 AND named_at IS NULL AND id IN ", {list "$1"},
        " RETURNING id, created_at"
    ];
    RENAME = [
        "UPDATE client_sites SET name = r.name, name_key = r.name_key FROM ",
        {rows "$1" id text, name text, name_key text},
        " AS r WHERE client_sites.tenant_id = $2 + r._z AND client_sites.id = r.id"
    ];
    HOLD_OF_ORGANIZATION = [
        "SELECT '' AS organization, organization_id, client_id, name_key, name, external_id, site_id \
         FROM rmm_site_mappings WHERE tenant_id = $1 AND organization_id = $2 ORDER BY client_id, name_key",
        {engine "" " FOR UPDATE"}
    ];
    OF_ASSETS = [
        "SELECT DISTINCT s.id, s.name, s.named_at FROM rmm_devices d JOIN assets a ON a.tenant_id = d.tenant_id \
         AND a.primary_device_id = d.id JOIN client_sites s ON s.tenant_id = a.tenant_id AND s.id = a.site_id \
         WHERE d.tenant_id = $1 AND d.organization_id = $2 AND a.client_id <> $3 ORDER BY s.id"
    ];
    // The organizations that come with a merged client know their sites better than what was left of earlier mappings.
    MERGE_FORGET_OLD = [
        "DELETE FROM rmm_site_mappings WHERE tenant_id = $2 AND client_id = $4 AND organization_id IN ", {list "$1"},
        " AND EXISTS (SELECT 1 FROM rmm_site_mappings f WHERE f.tenant_id = rmm_site_mappings.tenant_id \
         AND f.organization_id = rmm_site_mappings.organization_id AND f.client_id = $3 \
         AND f.name_key = rmm_site_mappings.name_key)"
    ];
    MERGE_FORGET_OWN = [
        "DELETE FROM rmm_site_mappings WHERE tenant_id = $1 AND client_id = $2 \
         AND EXISTS (SELECT 1 FROM rmm_site_mappings t WHERE t.tenant_id = rmm_site_mappings.tenant_id \
         AND t.organization_id = rmm_site_mappings.organization_id AND t.client_id = $3 \
         AND t.name_key = rmm_site_mappings.name_key)"
    ];
    MERGE_MAPPINGS = ["UPDATE rmm_site_mappings SET client_id = $3 WHERE tenant_id = $1 AND client_id = $2"];
    // Pairs of one name: the site of the client that goes, and that of the one that stays.
    MERGE_SAME = [
        "SELECT f.id, t.id FROM client_sites f JOIN client_sites t ON t.tenant_id = f.tenant_id AND t.client_id = $3 \
         AND t.name_key = f.name_key WHERE f.tenant_id = $1 AND f.client_id = $2"
    ];
    MERGE_FOLD_MAPPINGS = [
        "UPDATE rmm_site_mappings SET site_id = r.to_site FROM ", {rows "$1" from_site text, to_site text},
        " AS r WHERE rmm_site_mappings.tenant_id = $2 + r._z AND rmm_site_mappings.site_id = r.from_site"
    ];
    MERGE_FOLD_ASSETS = [
        "UPDATE assets SET site_id = r.to_site FROM ", {rows "$1" from_site text, to_site text},
        " AS r WHERE assets.tenant_id = $2 + r._z AND assets.site_id = r.from_site"
    ];
    MERGE_REMOVE = ["DELETE FROM client_sites WHERE tenant_id = $2 AND id IN ", {list "$1"}];
    MERGE_SITES = ["UPDATE client_sites SET client_id = $3 WHERE tenant_id = $1 AND client_id = $2"];
}
