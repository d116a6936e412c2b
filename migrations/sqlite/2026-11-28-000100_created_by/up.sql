-- Who made a key: not always a person with an account. Where these are empty, it was the person in created_by: a program that knows
-- nothing of them wrote that row.
ALTER TABLE api_keys ADD COLUMN created_by_kind TEXT;
ALTER TABLE api_keys ADD COLUMN created_by_id TEXT;
ALTER TABLE api_keys ADD COLUMN created_by_name TEXT;

-- created_by may be empty from now on. SQLite has no statement for that but to copy the table; the text of its definition can be
-- changed in place where no row becomes wrong by it (https://www.sqlite.org/lang_altertable.html, section 7). The statements above
-- have told every open connection to read the definitions anew.
PRAGMA writable_schema = ON;
-- allowed: it is one row, the definition of the table.
UPDATE sqlite_schema
SET sql = replace(sql, 'created_by TEXT NOT NULL REFERENCES users (id)', 'created_by TEXT REFERENCES users (id)')
WHERE type = 'table' AND name = 'api_keys';
PRAGMA writable_schema = RESET;
