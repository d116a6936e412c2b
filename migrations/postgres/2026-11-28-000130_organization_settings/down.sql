ALTER TABLE organizations DROP COLUMN max_rotations_per_day;
ALTER TABLE organizations DROP COLUMN max_keys;
ALTER TABLE organizations DROP COLUMN key_prefix;
