ALTER TABLE key_usage_open DROP COLUMN user_agent;
ALTER TABLE key_usage_open DROP COLUMN address;
ALTER TABLE key_usage_open DROP COLUMN at;
