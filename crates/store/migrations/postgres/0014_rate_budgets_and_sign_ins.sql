-- Requests leased to nodes of those that an RMM takes, what the RMM last said of its counters, and until when it shuts us
-- out: one small account for each integration, read and written whole under its lock.

CREATE TABLE rmm_rate_budgets (
    tenant_id BIGINT NOT NULL,
    integration_id TEXT NOT NULL,
    account TEXT NOT NULL,             -- JSON
    PRIMARY KEY (tenant_id, integration_id),
    FOREIGN KEY (tenant_id, integration_id) REFERENCES rmm_integrations (tenant_id, id)
);
SELECT fleetgate_protect('rmm_rate_budgets');

-- Which node signs in at the RMM right now, so that one token is made for all.
ALTER TABLE rmm_integrations ADD COLUMN sign_in_by TEXT;
ALTER TABLE rmm_integrations ADD COLUMN sign_in_until BIGINT;
