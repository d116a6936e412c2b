-- What an organization has of its own; where these are empty, what is configured for the installation holds.
ALTER TABLE organizations ADD COLUMN key_prefix TEXT;
ALTER TABLE organizations ADD COLUMN max_keys BIGINT;
ALTER TABLE organizations ADD COLUMN max_rotations_per_day BIGINT;
