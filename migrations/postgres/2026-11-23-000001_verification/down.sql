DELETE FROM installation WHERE name = 'last_uncounted_key_at';
DROP TABLE key_last_used;
DROP TABLE key_usage;
DROP TABLE key_usage_open;
DROP TABLE nodes;
DROP TABLE key_changes;
DROP TABLE key_epoch;
ALTER TABLE api_keys DROP COLUMN expires_at;
