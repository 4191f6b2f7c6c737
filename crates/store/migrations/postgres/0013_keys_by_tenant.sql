-- A table that is partitioned or distributed by tenant needs the tenant in every unique key. These two lacked it.

ALTER TABLE assets DROP CONSTRAINT assets_pkey;
ALTER TABLE assets ADD PRIMARY KEY (tenant_id, row_id);

DROP INDEX events_by_tenant;
ALTER TABLE events DROP CONSTRAINT events_pkey;
ALTER TABLE events ADD PRIMARY KEY (tenant_id, seq);
