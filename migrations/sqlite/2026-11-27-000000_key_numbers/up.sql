-- What a row of key_usage_open is found by. It is written each second that its key is used, and a number is an eighth of an
-- id to store, and a fraction of one to compare. Nobody sees it.
ALTER TABLE api_keys ADD COLUMN number INTEGER;

UPDATE api_keys SET number = rowid;

CREATE UNIQUE INDEX api_keys_number ON api_keys (number);

-- Not the rowid itself, which VACUUM may change.
CREATE TRIGGER api_keys_are_numbered AFTER INSERT ON api_keys WHEN new.number IS NULL
BEGIN
    UPDATE api_keys SET number = (SELECT coalesce(max(number), 0) + 1 FROM api_keys) WHERE id = new.id;
END;

ALTER TABLE key_usage_open RENAME TO key_usage_open_by_id;

-- How often each key was verified, by code, in the hours that nodes still count, and the newest of these uses. The rows of an
-- hour lie together: beside the month of their key, ten thousand keys would be ten thousand pages to write. On Postgres their
-- pages have room for the next version of a row, which then needs no new entry in an index.
CREATE TABLE key_usage_open (
    starts_at INTEGER NOT NULL,
    key_number INTEGER NOT NULL,
    code TEXT NOT NULL,
    count INTEGER NOT NULL,
    at INTEGER,
    address TEXT,
    user_agent TEXT,
    PRIMARY KEY (starts_at, key_number, code)
) STRICT, WITHOUT ROWID;

INSERT INTO key_usage_open (starts_at, key_number, code, count, at, address, user_agent)
SELECT starts_at, number, code, count, at, address, user_agent
FROM key_usage_open_by_id
JOIN api_keys ON api_keys.id = key_usage_open_by_id.key_id;

DROP TABLE key_usage_open_by_id;
