-- When the RMM last renewed what a detail look gives, as its list says: the detail is due again when this moves.
ALTER TABLE rmm_devices ADD COLUMN detail_as_of BIGINT;

-- The company that an organization stands for in a system of customers that the RMM is tied to: a hint for mapping.
ALTER TABLE rmm_organization_mappings ADD COLUMN company_id TEXT;
ALTER TABLE rmm_organization_mappings ADD COLUMN company_name TEXT;
