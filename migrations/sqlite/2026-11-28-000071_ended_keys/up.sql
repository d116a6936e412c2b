-- Whether secrets of the key, or the key itself, were removed because they had ended long before: then nodes let go of what
-- their memory has of it and the database has not.
ALTER TABLE key_changes ADD COLUMN is_removal INTEGER NOT NULL DEFAULT 0;

-- What has ended is found by its time, however much lives. Building these locks each table against writes, about a second for
-- a million rows, and nodes go on answering from memory.
CREATE INDEX key_secrets_ended ON key_secrets (expires_at) WHERE expires_at IS NOT NULL;

-- The same lock, as long.
CREATE INDEX api_keys_revoked ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;
