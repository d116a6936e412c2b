DROP INDEX api_keys_revoked;
DROP INDEX key_secrets_ended;
ALTER TABLE key_changes DROP COLUMN is_removal;
