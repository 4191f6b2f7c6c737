-- A look at an organization that lacks one of its devices is no look at that device.

ALTER TABLE rmm_devices ADD COLUMN listed_at BIGINT;   -- the last look that had it; null while the last look has it
UPDATE rmm_devices SET listed_at = absent_since WHERE absent_since IS NOT NULL;
