ALTER TABLE key_usage_open RENAME TO key_usage_open_by_number;

CREATE TABLE key_usage_open (
    starts_at BIGINT NOT NULL,
    key_id TEXT NOT NULL,
    code TEXT NOT NULL,
    count BIGINT NOT NULL,
    at BIGINT,
    address TEXT,
    user_agent TEXT,
    PRIMARY KEY (starts_at, key_id, code)
) WITH (fillfactor = 40);

INSERT INTO key_usage_open (starts_at, key_id, code, count, at, address, user_agent)
SELECT starts_at, id, code, count, at, address, user_agent
FROM key_usage_open_by_number
JOIN api_keys ON api_keys.number = key_usage_open_by_number.key_number;

DROP TABLE key_usage_open_by_number;

DROP INDEX api_keys_number;

ALTER TABLE api_keys DROP COLUMN number;
