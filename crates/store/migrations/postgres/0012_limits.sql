-- Limits of people to some clients. Without a limit a user sees all clients; with one, those of the rows here: none, if there
-- are none.

ALTER TABLE users ADD COLUMN limited BOOLEAN NOT NULL DEFAULT FALSE;

CREATE TABLE user_clients (
    tenant_id BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, user_id, client_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id),
    FOREIGN KEY (tenant_id, client_id) REFERENCES clients (tenant_id, id)
);
SELECT fleetgate_protect('user_clients');
