-- Lists: filters of a client and of a status are answered from the index alone, and the order of clients is the index's.

DROP INDEX clients_by_name;
CREATE UNIQUE INDEX clients_by_name ON clients (tenant_id, name_key, id);

DROP INDEX assets_by_client;
CREATE INDEX assets_by_client ON assets (tenant_id, client_id, name_key, id, status, asset_type, os, created_at);

DROP INDEX assets_by_status;
CREATE INDEX assets_by_status ON assets (tenant_id, status, name_key, id, asset_type);

-- Each request with a token reads the row of its last use by the token's id.
CREATE UNIQUE INDEX api_token_hashes_by_token ON api_token_hashes (tenant_id, token_id);
