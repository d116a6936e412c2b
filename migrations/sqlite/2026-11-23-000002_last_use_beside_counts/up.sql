-- The newest use that a row counts lies beside its count, so that a key that was used is one row to write each second and
-- not two. It goes to key_last_used when its hour is over.
ALTER TABLE key_usage_open ADD COLUMN at INTEGER;
ALTER TABLE key_usage_open ADD COLUMN address TEXT;
ALTER TABLE key_usage_open ADD COLUMN user_agent TEXT;
