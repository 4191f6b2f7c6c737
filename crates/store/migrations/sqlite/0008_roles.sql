-- Own roles. `users.role` holds the name of a built-in role or the id of a row here; built-in roles have no row.

CREATE TABLE roles (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,            -- folded, to compare
    permissions TEXT NOT NULL,         -- JSON list of names
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX roles_by_name ON roles (tenant_id, name_key);
