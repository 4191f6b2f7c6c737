-- Sites by people: a name of their own beside the RMM's, and which sites of the RMMs a site stands for.

ALTER TABLE client_sites ADD COLUMN named_at BIGINT;   -- when a person chose its name; null: it bears the RMM's

CREATE TABLE rmm_site_mappings (
    tenant_id BIGINT NOT NULL,
    organization_id TEXT NOT NULL,
    client_id TEXT NOT NULL,           -- the site's: an organization mapped elsewhere and back finds its sites again
    name_key TEXT NOT NULL,            -- devices name their site, they do not give its id
    name TEXT NOT NULL,                -- at the RMM
    external_id TEXT,                  -- the RMM's id, where it is known
    site_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, organization_id, client_id, name_key),
    FOREIGN KEY (tenant_id, organization_id) REFERENCES rmm_organization_mappings (tenant_id, id),
    FOREIGN KEY (tenant_id, client_id) REFERENCES clients (tenant_id, id),
    FOREIGN KEY (tenant_id, site_id) REFERENCES client_sites (tenant_id, id)
);
CREATE INDEX site_mappings_by_site ON rmm_site_mappings (tenant_id, site_id);
CREATE INDEX assets_by_site ON assets (tenant_id, site_id);

-- So far a site bore the name that its devices gave. The next list of organizations adds the RMM's ids.
INSERT INTO rmm_site_mappings (tenant_id, organization_id, client_id, name_key, name, external_id, site_id)
SELECT DISTINCT a.tenant_id, d.organization_id, s.client_id, s.name_key, s.name, CAST(NULL AS TEXT), s.id
FROM assets a
JOIN rmm_devices d ON d.tenant_id = a.tenant_id AND d.id = a.primary_device_id
JOIN client_sites s ON s.tenant_id = a.tenant_id AND s.id = a.site_id AND s.client_id = a.client_id;
