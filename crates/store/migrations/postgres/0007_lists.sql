-- The status of the asset that a device leads, so that it is in one index with the time last seen.
ALTER TABLE device_presence ADD COLUMN status TEXT NOT NULL DEFAULT 'offline';
ALTER TABLE assets NO FORCE ROW LEVEL SECURITY;
ALTER TABLE device_presence NO FORCE ROW LEVEL SECURITY;
UPDATE device_presence SET status = a.status FROM assets a
    WHERE a.tenant_id = device_presence.tenant_id AND a.primary_device_id = device_presence.device_id;
ALTER TABLE device_presence FORCE ROW LEVEL SECURITY;
ALTER TABLE assets FORCE ROW LEVEL SECURITY;
ALTER TABLE device_presence ALTER COLUMN status DROP DEFAULT;
DROP INDEX presence_by_last_seen;
CREATE INDEX presence_by_last_seen ON device_presence (tenant_id, last_seen, device_id, status);
