-- Who made a key: not always a person with an account. Where these are empty, it was the person in created_by: a program that knows
-- nothing of them wrote that row.
ALTER TABLE api_keys ADD COLUMN created_by_kind TEXT;
ALTER TABLE api_keys ADD COLUMN created_by_id TEXT;
ALTER TABLE api_keys ADD COLUMN created_by_name TEXT;

-- allowed: it takes nothing away, and reads no row. A key without a person is made at the earliest by the next release.
ALTER TABLE api_keys ALTER COLUMN created_by DROP NOT NULL;
