ALTER TABLE key_usage_open RENAME TO key_usage_open_by_number;

CREATE TABLE key_usage_open (
    starts_at INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    code TEXT NOT NULL,
    count INTEGER NOT NULL,
    at INTEGER,
    address TEXT,
    user_agent TEXT,
    PRIMARY KEY (starts_at, key_id, code)
) STRICT, WITHOUT ROWID;

INSERT INTO key_usage_open (starts_at, key_id, code, count, at, address, user_agent)
SELECT starts_at, id, code, count, at, address, user_agent
FROM key_usage_open_by_number
JOIN api_keys ON api_keys.number = key_usage_open_by_number.key_number;

DROP TABLE key_usage_open_by_number;

DROP TRIGGER api_keys_are_numbered;

DROP INDEX api_keys_number;

ALTER TABLE api_keys DROP COLUMN number;
