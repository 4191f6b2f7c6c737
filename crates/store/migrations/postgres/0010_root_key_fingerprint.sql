-- Which root key wraps a data key, by its fingerprint: says which key file a database or a backup needs. Null in rows of
-- earlier versions until the key has opened them once.
ALTER TABLE data_keys ADD COLUMN root_key_fingerprint TEXT;
